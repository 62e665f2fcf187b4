"""regad-run as a program: arguments, the start, bad input, the exit status. The backend is a fake one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.commands import run as cli
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError, OutputError
from regad.runtime.formats.category import (
    save_category,
)
from regad.runtime.formats.spec import InputSpec
from regad.runtime.line import pictures
from regad.runtime.line.counters import Counters
from regad.runtime.line.loop import exit_status

from ..run_doubles import KEYS, NOT_JUDGED_KEYS, Bench, Run, category, failure, records

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


def test_a_good_part_above_the_warn_limit_is_a_warning_and_no_more(bench: Bench, run: Run) -> None:
    for name, grey in (("1", 40), ("2", 90), ("3", 180)):
        bench.image(f"in/{name}.png", grey)
    log = bench.root / "log.jsonl"
    outcome = run("--source", bench.root / "in", "--json", log, "--warn-threshold", 8.5)
    assert outcome.code == 0
    assert [(line["anomalous"], line["warn"], line["reject"]) for line in records(log)] == [
        (False, False, False),
        (False, True, False),
        (True, False, True),
    ]
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["good", "WARN", "ANOMALY"]
    assert "good 2 (1 with a warning)  anomalous 1" in outcome.err
    assert "warn       8.5 (set by hand)" in outcome.err
    assert run("--source", bench.root / "in", "--warn-threshold", 10).code == 1  # not below the threshold


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
    (load,) = bench.loads
    given = {"device": "cpu", "threads": 2, "spec": None, "precision": "f32", "force": False}
    assert load == {"path": bench.root / "model.regad", **given}
    assert "passed over" not in outcome.err


def test_auto_says_what_it_passed_over(bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "passed_over", lambda: ["tensorrt", "openvino"])
    said = "auto passed over tensorrt, openvino: regad-bench --pick measures what they gain"
    assert said in run("--source", bench.image("x.png", 40)).err
    assert said not in run("--source", bench.image("x.png", 40), "--device", "cpu").err


def test_a_precision_reaches_the_device_and_the_record(bench: Bench, run: Run, tmp_path: Path) -> None:
    record = tmp_path / "log.jsonl"
    run(
        "--source", bench.image("x.png", 40), "--device", "openvino", "--precision", "bf16", "--force", "--json", record
    )
    assert [bench.loads[0][name] for name in ("device", "precision", "force")] == ["openvino", "bf16", True]
    assert [records(record)[0][name] for name in ("device", "precision")] == ["cpu", "f32"], "what the backend says"


def test_json_on_stdout_holds_nothing_else(bench: Bench, run: Run) -> None:
    bench.image("in/1.png", 40)
    (bench.root / "in/2.png").write_bytes(b"no image")
    outcome = run("--source", bench.root / "in", "--json", "-")
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert list(first) == KEYS
    assert list(second) == NOT_JUDGED_KEYS
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
    photos = bench.taught[0]["photos"]
    assert [path.name for path in photos] == ["1.png", "2.png"], "two of three, drawn by seed 5"


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
        assert list(line) == NOT_JUDGED_KEYS
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
        (["--source", "x", "--overlay-anomalies"], "has no effect without --overlay"),
        (["--source", "x", "--overlay-keep", "5"], "has no effect without --overlay"),
        (["--source", "x", "--overlay-max-mb", "5"], "has no effect without --overlay"),
        (["--source", ""], "source is ''"),
        (["--source", "x", "--json", ""], "json is ''"),
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
    assert "has no effect with --category" in outcome.err


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


def test_a_disk_that_fills_up_on_the_way_loses_pictures_and_no_verdict(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        bench.image(f"in/{number}.png", 40)
    real = pictures.atomic_write

    def write(path: Path, data: bytes, *, sync: bool) -> None:
        if path.name != "0.png":
            raise OutputError(f"cannot write {path}: No space left on device; free some space")
        real(path, data, sync=sync)

    monkeypatch.setattr(pictures, "atomic_write", write)
    out, log = bench.root / "out", bench.root / "log.jsonl"
    outcome = run("--source", bench.root / "in", "--overlay", out, "--json", log)
    assert outcome.code == 1
    assert [line["anomalous"] for line in records(log)] == [False] * 4
    assert [path.name for path in out.iterdir()] == ["0.png"]
    assert outcome.err.count("a picture was lost") == 1, "said once"
    assert outcome.err.splitlines()[-1].endswith("; 3 pictures not written")


def test_every_image_has_its_picture_however_slow_the_disk_is(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        bench.image(f"in/{number}.png", 40)
    out = bench.root / "out"
    outcome = run("--source", bench.root / "in", "--overlay", out)
    assert outcome.code == 0
    assert len(list(out.iterdir())) == 30
    assert "left out" not in outcome.err


def test_the_number_of_pictures_can_be_bounded(bench: Bench, run: Run) -> None:
    for number in range(5):
        bench.image(f"in/{number}.png", 40)
    out = bench.root / "out"
    assert run("--source", bench.root / "in", "--overlay", out, "--overlay-keep", 2).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["3.png", "4.png"]
    assert run("--source", bench.root / "in", "--overlay", out, "--overlay-max-mb", 0.000001).code == 0
    assert len(list(out.iterdir())) == 1


def test_a_long_pipeline_is_a_source_like_any_other(bench: Bench, run: Run) -> None:
    pipeline = "videotestsrc ! " + " ! ".join(["videoconvert"] * 60) + " ! appsink"
    line = failure(run("--source", pipeline, "--overlay", bench.root / "out"))
    assert "GStreamer" in line


def test_a_display_that_is_not_there(bench: Bench, run: Run) -> None:
    assert "no window can be shown" in failure(run("--source", bench.image("x.png", 40), "--display"))
    assert not bench.loads, "told before the slow start"


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
    counters = Counters()
    counters.good, counters.anomalous, counters.errors = counts
    assert exit_status(counters, complete=complete, lost=False, fail_on_anomaly=fail) == status
    lost = exit_status(counters, complete=complete, lost=True, fail_on_anomaly=fail)
    assert lost == (status or 1), "a lost picture is the least of all faults"


def test_the_command_needs_no_torch() -> None:
    code = (
        "import sys, regad.runtime.commands.run, regad.runtime.commands.doctor\n"
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
