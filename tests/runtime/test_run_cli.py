"""regad-run as a program: arguments, the start, the loop, the cache, the exit status. The backend is a fake one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from regad.calib import teach as teaching
from regad.runtime import cache, cli, jsonlines, sinks
from regad.runtime.artifact import Artifact
from regad.runtime.backends import Inference
from regad.runtime.console import run_cli
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError, SourceError
from regad.runtime.frames import Frame, Source
from regad.runtime.inspection import StopSignals, exit_status
from regad.runtime.progress import Progress
from regad.runtime.spec import InputSpec
from regad.runtime.stats import (
    ENCODINGS,
    Category,
    Statistics,
    Support,
    Threshold,
    load_category,
    save_category,
)
from regad.runtime.stats import tensors_sha256 as sha256_of

ARTIFACT = Artifact(Path("model.regad"), {}, "a" * 64, InputSpec(), "fp32")
KEYS = ["source", "frame", "time", "score", "threshold", "anomalous", "thetas", "ms", "artifact", "category"]


def category(support: tuple[Support, ...] = (), spec: InputSpec | None = None, artifact: str = "a" * 64) -> Category:
    tensors = {name: np.zeros(shape, np.float32) for name, shape in ENCODINGS["gram"](1).items()}
    return Category(
        artifact=artifact,
        statistics=Statistics("gram", 1, 2, tensors),
        threshold=Threshold(10.0, "leave-one-out", 0.01, (8.0, 9.0), "set from 2 good scores"),
        spec=spec or InputSpec(),
        shot=len(support) or 2,
        support=support,
        data_sha256=sha256_of(tensors),
    )


class FakeBackend:
    """Scores an image by its brightness: a tenth of the mean, so grey 100 lies exactly at the threshold."""

    name = "fake 1.0"
    device = "cpu"

    def prepare(self, statistics: Statistics) -> object:
        return object()

    def infer(self, images: Any, statistics: object) -> Inference:
        score = images.mean(axis=(1, 2, 3)).astype(np.float32) / 10
        heat = np.broadcast_to(score[:, None, None], (len(images), 224, 224)).copy()
        return Inference(heat, score, np.zeros((len(images), 3, 2, 3), np.float32), 1.0, 2.0)

    def close(self) -> None:
        pass


class Outcome(NamedTuple):
    """How a run ended."""

    code: int
    out: str
    err: str


class Bench:
    """A folder with a support set, the program to run, and what was taught."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taught: list[dict[str, Any]] = []
        self.loads: list[dict[str, Any]] = []
        for number in range(3):
            self.image(f"support/{number}.png", 30 + number)

    def image(self, name: str, grey: int, size: tuple[int, int] = (40, 30)) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, grey).save(path)
        return path

    def load(self, path: Any, device: str = "cpu", threads: int | None = None, spec: Any = None) -> Detector:
        self.loads.append({"path": path, "device": device, "threads": threads, "spec": spec})
        return Detector(ARTIFACT, FakeBackend(), spec)  # type: ignore[arg-type]

    def teach(self, detector: Detector, folder: Any, **options: Any) -> Category:
        self.taught.append(options)
        support = tuple(Support(path.name, "0" * 64) for path in sorted(Path(folder).iterdir()))
        detector.use(category(support, detector.spec))
        assert detector.category is not None
        return detector.category


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REGAD_MODEL", str(tmp_path / "model.regad"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(cli.Detector, "load", made.load)
    monkeypatch.setattr(teaching, "teach_folder", made.teach)
    monkeypatch.setattr(Artifact, "open", lambda path, verify=True: ARTIFACT)
    return made


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*args: object, support: bool = True) -> Outcome:
        taught = ["--support", str(bench.root / "support")] if support else []
        with pytest.raises(SystemExit) as stop:
            run_cli(cli.command, [*taught, *map(str, args)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(str(stop.value.code)), captured.out, captured.err)

    return call


Run = Callable[..., Outcome]


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# What a run does


def test_a_folder_is_judged_recorded_and_drawn(bench: Bench, run: Run) -> None:
    bench.image("in/good/1.png", 40)
    bench.image("in/bad/1.png", 180)
    log, pictures = bench.root / "log.jsonl", bench.root / "pictures"
    outcome = run("--source", bench.root / "in", "--json", log, "--overlay", pictures)
    assert outcome.code == 0
    bad, good = records(log)
    assert list(bad) == KEYS
    assert list(bad["ms"]) == ["preprocess", "encode", "score", "total"]
    assert np.shape(bad["thetas"]) == (3, 2, 3)
    assert (bad["source"], bad["frame"]) == (str(bench.root / "in/bad/1.png"), 0)
    assert (bad["score"], bad["threshold"], bad["anomalous"]) == (18.0, 10.0, True)
    assert (good["score"], good["anomalous"], good["frame"]) == (4.0, False, 1)
    assert good["artifact"] == "a" * 16
    assert len(good["category"]) == 16
    assert sorted(str(p.relative_to(pictures)) for p in pictures.rglob("*.png")) == ["bad/1.png", "good/1.png"]
    assert outcome.out.splitlines()[0].split() == ["ANOMALY", "18.000", str(bench.root / "in/bad/1.png")]
    assert "2 frames in" in outcome.err
    assert "good 1  anomalous 1  not judged 0" in outcome.err


def test_the_start_says_what_is_used(bench: Bench, run: Run) -> None:
    outcome = run("--source", bench.image("x.png", 40), "--device", "cpu", "--threads", "2")
    for words in (
        "artifact   ",
        "(fp32, aaaaaaaaaaaaaaaa)",
        "device     cpu (fake 1.0)",
        "k = 3 good images",
        "taught from ",
        "threshold  10 (set from 2 good scores)",
    ):
        assert words in outcome.err
    assert bench.loads == [{"path": bench.root / "model.regad", "device": "cpu", "threads": 2, "spec": None}]


def test_json_on_stdout_holds_nothing_else(bench: Bench, run: Run) -> None:
    bench.image("in/1.png", 40)
    (bench.root / "in/2.png").write_bytes(b"no image")
    outcome = run("--source", bench.root / "in", "--json", "-")
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert list(first) == KEYS
    assert list(second) == ["source", "frame", "time", "error"]
    assert outcome.code == 3


def test_a_limit_ends_the_run(bench: Bench, run: Run) -> None:
    for number in range(5):
        bench.image(f"in/{number}.png", 40)
    outcome = run("--source", bench.root / "in", "--limit", 2)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2


def test_a_threshold_by_hand(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 60)
    outcome = run("--source", path, "--threshold", "5", "--fail-on-anomaly")
    assert outcome.code == 4
    assert "threshold  5 (set by hand)" in outcome.err


def test_a_category_file(bench: Bench, run: Run) -> None:
    save_category(category(), bench.root / "part.safetensors")
    outcome = run("--source", bench.image("x.png", 60), "--category", bench.root / "part.safetensors", support=False)
    assert outcome.code == 0
    assert not bench.taught
    assert "part.safetensors" in outcome.err


def test_preprocessing_options_reach_the_teaching(bench: Bench, run: Run) -> None:
    run("--source", bench.image("x.png", 60), "--roi", "1,2,20,10", "--fit", "crop", "--shot", 2, "--seed", 5)
    assert bench.loads[0]["spec"] == InputSpec(fit="crop", roi=(1, 2, 20, 10))
    assert (bench.taught[0]["shot"], bench.taught[0]["seed"]) == (2, 5)


# Bad input


def test_an_image_that_cannot_be_judged_is_never_good(bench: Bench, run: Run) -> None:
    bench.image("in/1.png", 40)
    bench.image("in/2.png", 40, size=(8, 8))  # too small for the region of interest
    (bench.root / "in/3.png").write_bytes(b"no image")
    log = bench.root / "log.jsonl"
    outcome = run("--source", bench.root / "in", "--json", log, "--roi", "0,0,20,20")
    assert outcome.code == 3
    good, small, broken = records(log)
    assert good["anomalous"] is False
    for line in (small, broken):
        assert list(line) == ["source", "frame", "time", "error"]
    assert "does not fit the image" in small["error"]
    assert "good 1  anomalous 0  not judged 2" in outcome.err
    assert outcome.err.count("not judged: ") == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "exactly one of --camera N and --source"),
        (["--camera", "0", "--source", "x"], "exactly one of --camera N and --source"),
        (["--source", "x", "--category", "y"], "exactly one of --support DIR and --category"),
        (["--source", "x", "--limit", "0"], "--limit"),
        (["--source", "x", "--threshold", "-1"], "--threshold"),
        (["--source", "x", "--target-frr", "0.7"], "--target-frr"),
        (["--source", "x", "--overlay-anomalies"], "needs --overlay"),
        (["--source", "x", "--roi", "1,2"], "x,y,width,height"),
        (["--unknown"], "--unknown"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, args: list[str], words: str) -> None:
    outcome = run(*args)
    assert outcome.code == 2
    assert words in outcome.err


@pytest.mark.parametrize("option", [["--shot", "2"], ["--roi", "0,0,5,5"], ["--target-frr", "0.1"], ["--no-cache"]])
def test_a_category_file_takes_no_teaching_options(run: Run, option: list[str]) -> None:
    outcome = run("--source", "x", "--category", "y", *option, support=False)
    assert outcome.code == 2
    assert "the category file has its own" in outcome.err


def failure(outcome: Outcome) -> str:
    """The one line of a failure."""
    assert outcome.code == 1
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert outcome.err.splitlines()[-1] == line
    return line


def test_no_artifact(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGAD_MODEL")
    monkeypatch.chdir(tmp_path)
    assert "give --model FOLDER, set $REGAD_MODEL" in failure(run("--source", "x"))
    (tmp_path / "model.regad").mkdir()
    assert "x does not exist" in failure(run("--source", "x"))


@pytest.mark.parametrize(
    ("source", "words"),
    [("gone", "does not exist"), ("empty", "holds no image"), ("broken.avi", "cannot be opened as a video")],
)
def test_a_source_that_cannot_be_opened(bench: Bench, run: Run, source: str, words: str) -> None:
    (bench.root / "empty").mkdir()
    (bench.root / "broken.avi").write_bytes(b"RIFF" + bytes(100))
    log = bench.root / "log.jsonl"
    assert words in failure(run("--source", bench.root / source, "--json", log))
    assert not log.exists()
    assert not bench.loads, "a source that is not there is told before the slow start"


def test_no_camera(run: Run) -> None:
    assert "no camera at index 63" in failure(run("--camera", "63"))


def test_support_that_cannot_be_used(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 40)
    (bench.root / "none").mkdir()
    assert "holds no image" in failure(run("--source", path, "--support", bench.root / "none", support=False))
    assert "is not a folder" in failure(run("--source", path, "--support", bench.root / "gone", support=False))
    assert "9 support images were asked for, but there are 3" in failure(run("--source", path, "--shot", 9))


def test_a_category_of_another_artifact(bench: Bench, run: Run) -> None:
    path = bench.root / "part.safetensors"
    save_category(category(artifact="b" * 64), path)
    line = failure(run("--source", bench.image("x.png", 40), "--category", path, support=False))
    assert "was taught on artifact bbbbbbbbbbbb" in line


def test_a_device_that_is_not_there(run: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*args: object, **options: object) -> Detector:
        raise DeviceError("cuda is not here; use --device cpu")

    monkeypatch.setattr(cli.Detector, "load", load)
    assert "cuda is not here" in failure(run("--source", bench.image("x.png", 40), "--device", "cuda"))


def test_outputs_that_cannot_be_written(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.image("x.png", 40)
    (bench.root / "file").touch()
    assert "cannot write" in failure(run("--source", path, "--json", bench.root / "file" / "log"))
    assert "choose another --overlay" in failure(run("--source", path, "--overlay", bench.root / "file" / "out"))
    assert "No space left" in failure(run("--source", path, "--json", "/dev/full"))


def test_overlays_inside_the_judged_folder_are_refused(bench: Bench, run: Run) -> None:
    bench.image("in/x.png", 40)
    line = failure(run("--source", bench.root / "in", "--overlay", bench.root / "in" / "out"))
    assert "lies inside" in line
    assert not (bench.root / "in" / "out").exists()


def test_a_disk_that_fills_up_on_the_way(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        bench.image(f"in/{number}.png", 40)
    real, calls = sinks.atomic_write, []

    def write(path: Path, data: Any) -> None:
        calls.append(path)
        if len(calls) == 2:
            monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full")))
        real(path, data)

    monkeypatch.setattr(sinks, "atomic_write", write)
    out = bench.root / "out"
    assert "cannot write" in failure(run("--source", bench.root / "in", "--overlay", out))
    assert [path.name for path in out.iterdir()] == ["0.png"]


def test_a_display_that_is_not_there(bench: Bench, run: Run) -> None:
    assert "no window can be shown" in failure(run("--source", bench.image("x.png", 40), "--display"))
    assert not bench.loads, "told before the slow start"


def test_verdicts_on_a_full_stdout(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(jsonlines, "_stdout_handle", full.fileno)
        assert "cannot write stdout: No space left" in failure(run("--source", bench.image("x.png", 40)))


# The exit status


@pytest.mark.parametrize(
    ("counts", "complete", "fail", "status"),
    [
        ((3, 0, 0), True, True, 0),
        ((3, 1, 0), True, False, 0),
        ((3, 1, 0), True, True, 4),
        ((3, 0, 1), True, True, 3),
        ((3, 1, 1), True, True, 4),
        ((3, 1, 1), True, False, 3),
        ((3, 0, 0), False, False, 3),
        ((0, 0, 0), True, False, 3),
        ((0, 0, 4), True, True, 3),
    ],
)
def test_exit_status(counts: tuple[int, int, int], complete: bool, fail: bool, status: int) -> None:
    progress = Progress()
    progress.good, progress.anomalous, progress.errors = counts
    assert exit_status(progress, complete=complete, fail_on_anomaly=fail) == status


# The cache


def cached(bench: Bench) -> list[Path]:
    return sorted((bench.root / "cache" / "regad").iterdir())


def test_the_same_photos_are_taught_once(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 40)
    assert "taught from" in run("--source", path).err
    second = run("--source", path)
    assert second.code == 0
    assert "from the cache" in second.err
    assert len(bench.taught) == 1
    assert "k = 3 good images" in second.err


@pytest.mark.parametrize("change", ["photo", "name", "shot", "frr", "roi", "code"])
def test_anything_that_matters_is_taught_anew(
    bench: Bench, run: Run, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.image("x.png", 40)
    run("--source", path)
    extra: list[object] = []
    if change == "photo":
        bench.image("support/1.png", 99)
    elif change == "name":
        (bench.root / "support/1.png").rename(bench.root / "support/9.png")
    elif change == "code":
        monkeypatch.setattr(cache, "version", lambda name: "99")
    else:
        extra = {"shot": ["--shot", 2], "frr": ["--target-frr", 0.1], "roi": ["--roi", "0,0,9,9"]}[change]
    run("--source", path, *extra)
    assert len(bench.taught) == 2


def test_a_threshold_by_hand_is_not_kept_in_the_cache(bench: Bench, run: Run) -> None:
    path = bench.image("x.png", 60)
    assert "threshold  5" in run("--source", path, "--threshold", 5).err
    assert "threshold  6" in run("--source", path, "--threshold", 6).err
    assert len(bench.taught) == 1
    assert "threshold  10" in run("--source", path).err


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_broken_entry_is_taught_again(bench: Bench, run: Run, damage: bytes | None) -> None:
    path = bench.image("x.png", 40)
    run("--source", path)
    (entry,) = cached(bench)
    entry.write_bytes(entry.read_bytes()[:-100] if damage is None else damage)
    outcome = run("--source", path)
    assert outcome.code == 0
    assert "taught again" in outcome.err
    assert len(bench.taught) == 2
    load_category(entry)


def test_a_cache_that_cannot_be_written_is_a_note(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.root / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(bench.root / "file"))
    outcome = run("--source", bench.image("x.png", 40))
    assert outcome.code == 0
    assert "note: the part was not cached" in outcome.err


def test_no_cache(bench: Bench, run: Run) -> None:
    for _ in range(2):
        run("--source", bench.image("x.png", 40), "--no-cache")
    assert len(bench.taught) == 2
    assert not (bench.root / "cache").exists()


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    abandoned = tmp_path / ".x.safetensors.tmp"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    (tmp_path / ".y.safetensors.tmp").touch()
    cache.prune(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}.safetensors" for n in range(4, 12)} | {".y.safetensors.tmp"}
    cache.prune(tmp_path, size=250)
    assert {p.name for p in tmp_path.glob("*.safetensors")} == {"10.safetensors", "11.safetensors"}
    cache.prune(tmp_path, size=1)
    assert [p.name for p in tmp_path.glob("*.safetensors")] == ["11.safetensors"]


# Stopping


class Scripted(Source):
    """A source that gives what a test lists; an exception in the list is raised."""

    def __init__(self, *items: Any, live: bool) -> None:
        super().__init__("camera:0")
        self.live = live
        self._items = iter(items)

    def _read(self) -> None:
        pass

    def _stop(self) -> None:
        pass

    def _next(self) -> Frame:
        item = next(self._items)
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, str):
            return Frame("camera:0", 0, 0.0, None, error=item)
        return Frame("camera:0", 0, 0.0, np.full((30, 40, 3), item, np.uint8))


@pytest.mark.parametrize(("live", "code"), [(True, 0), (False, 3)])
def test_ctrl_c_ends_with_a_summary(run: Run, monkeypatch: pytest.MonkeyPatch, live: bool, code: int) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 50, KeyboardInterrupt(), live=live))
    outcome = run("--source", "x")
    assert outcome.code == code, "files left over are not judged; a camera ends when it is stopped"
    assert "2 frames in" in outcome.err
    assert "error" not in outcome.err


def test_ctrl_c_during_the_start(run: Run, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    def load(*args: object, **options: object) -> Detector:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.Detector, "load", load)
    outcome = run("--source", bench.image("x.png", 4))
    assert (outcome.code, outcome.err.splitlines()[-1]) == (130, "interrupted")


def test_a_camera_tells_changes_and_every_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Scripted(40, 40, 200, 200, "no frame from camera:0", 40, KeyboardInterrupt(), live=True)
    monkeypatch.setattr(cli, "open_source", lambda uri: script)
    outcome = run("--source", "x")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["good", "ANOMALY", "good"]
    assert "not judged: no frame from camera:0" in outcome.err
    assert outcome.code == 3


def test_a_source_that_fails_for_good(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, SourceError("the reader broke"), live=False))
    assert failure(run("--source", "x")) == "error: the reader broke"


def test_nothing_judged_is_no_success(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(KeyboardInterrupt(), live=True))
    assert run("--source", "x").code == 3


def test_a_sink_may_end_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending:
        closed = False

        def write(self, verdict: Any) -> bool:
            return False

        def close(self) -> None:
            Ending.closed = True

    monkeypatch.setattr(cli, "open_window", lambda wanted: Ending())
    monkeypatch.setattr(cli, "open_source", lambda uri: Scripted(40, 40, live=True))
    outcome = run("--source", "x")
    assert outcome.code == 0
    assert "1 frame in" in outcome.err
    assert Ending.closed


def test_signals_wait_for_the_frame_in_hand() -> None:
    done = []
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt), stop.busy():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("recorded")
    assert done == ["recorded"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait() -> None:
    done = []
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt), stop.busy():
        signal.raise_signal(signal.SIGINT)
        done.append("first")
        signal.raise_signal(signal.SIGINT)
        done.append("second")
    assert done == ["first"]


def test_no_handlers_outside_the_main_thread() -> None:
    entered = threading.Event()

    def use() -> None:
        with StopSignals() as stop, stop.busy():
            entered.set()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert entered.is_set()


CHILD = """
import sys, threading, time
import numpy as np
from regad.runtime import cli, inspection
from regad.runtime.detector import Result, Timings
from regad.runtime.frames import Frame
from regad.runtime.inspection import StopSignals, exit_status, inspect
from regad.runtime.jsonlines import JsonLines, LineFile
from regad.runtime.progress import Progress
from regad.runtime.spec import InputSpec
from regad.runtime.streams import LiveSource

class Camera:
    def __init__(self): self.frames = 3
    def read(self):
        self.frames -= 1
        if self.frames < 0:
            threading.Event().wait(3600)
        return True, np.zeros((8, 8, 3), np.uint8)
    def release(self): pass

def predict(image):
    heat, thetas = np.zeros((224, 224), np.float32), np.zeros((3, 2, 3), np.float32)
    return Result(1.0, 2.0, False, heat, thetas, Timings(1, 1, 1, 3), InputSpec())

with StopSignals() as stop, LiveSource("camera:0", Camera, timeout=3600) as source:
    progress = Progress(live=True)
    complete = inspect(source, predict, [JsonLines(LineFile("-"), "a", "c")], progress, stop=stop)
    progress.say(progress.summary(source.dropped))
sys.exit(exit_status(progress, complete=complete, fail_on_anomaly=False))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_waiting_camera_run_cleanly(number: signal.Signals) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())  # from here on it judges, or waits for the camera
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert first["anomalous"] is False
    for line in out.splitlines():
        json.loads(line)
    assert err.splitlines()[-1].startswith(f"{1 + len(out.splitlines())} frame")
    assert "Traceback" not in err


def test_the_command_needs_no_torch() -> None:
    code = (
        "import sys, regad.runtime.cli, regad.runtime.doctor; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
