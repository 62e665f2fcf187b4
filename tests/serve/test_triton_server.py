"""The repositories of regad-triton on a real tritonserver: what it answers is what the runtime answers in-process.

Runs where REGAD_TRITON_TESTS is ``required``, as in CI: there it fails, saying why, where the server cannot start.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tritonclient import grpc

from regad.runtime.detector import Detector
from regad.runtime.errors import ArtifactError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.category import load_category, save_category
from regad.runtime.imaging.reading import read_picture
from regad.runtime.result import Result
from regad.runtime.serve.triton.check import Server, check_graphs, ppm
from regad.runtime.serve.triton.cli import command
from regad.runtime.serve.triton.graphs import write_graphs

from .doubles import place, taught
from .triton_server import Running, UnavailableError, install, serve

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from screw import UPRIGHT, draw_screw, random_pose

REQUIRED = os.environ.get("REGAD_TRITON_TESTS") == "required"
pytestmark = pytest.mark.skipif(
    not REQUIRED, reason="needs REGAD_TRITON_TESTS=required: installs and runs tritonserver"
)

NAMES = ("screw", "one", "two")
OUTPUTS = ("score", "threshold", "anomalous", "reason", "pose", "category")
LARGE, BOUND_MB = 20, 100
DOCS = Path(__file__).resolve().parents[2] / "docs"


def screw(seed: int, size: int = 240) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_screw(rng, UPRIGHT if seed == 0 else random_pose(rng, 0.06), None, size=size)[0]


class Station(NamedTuple):
    """The server, what it serves, and the same in-process."""

    running: Running
    root: Path
    artifact: Path
    files: dict[str, Path]
    detectors: dict[str, Detector]

    def write(self, *words: object, files: Sequence[Path], check: bool = True) -> None:
        """Run regad-triton, which lets the server load what it wrote and checks it."""
        given = [word for file in files for word in ("--category", file)]
        checked = ("--check", self.running.address) if check else ()
        options = ("--model", self.artifact, "--out", self.root / "repository", "--device", "cpu", "--threads", 1)
        command.main([*map(str, (*options, *given, *words, *checked))], standalone_mode=False)

    def wanted(self, name: str, image: bytes) -> list[Result]:
        """What a detector says of it alone and in a batch: the last digits may differ."""
        pixels = read_picture(name, data=image).image
        return [self.detectors[name].predict(pixels), self.detectors[name].predict_batch([pixels] * 2)[0]]


class Client:
    """One client, used by one thread."""

    def __init__(self, address: str) -> None:
        self.client: Any = grpc.InferenceServerClient(address)

    def ask(self, model: str, category: str, image: bytes, outputs: Sequence[str] = OUTPUTS) -> dict[str, Any]:
        tensor = grpc.InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[image]], np.object_))
        wanted = [grpc.InferRequestedOutput(name) for name in outputs]
        done = self.client.infer(model, [tensor], outputs=wanted, parameters={"category": category}, client_timeout=120)
        return {name: done.as_numpy(name)[0] for name in outputs}

    def version(self, model: str, category: str, image: bytes) -> tuple[str, float]:
        """The version of the model that answers, and the score."""
        tensor = grpc.InferInput("image", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[image]], np.object_))
        done = self.client.infer(model, [tensor], parameters={"category": category}, client_timeout=120)
        return done.get_response().model_version, done.as_numpy("score").item()

    def counts(self, model: str) -> tuple[int, int]:
        """Inferences and executions so far."""
        (stats,) = self.client.get_inference_statistics(model).model_stats
        return stats.inference_count, stats.execution_count


@pytest.fixture(scope="module")
def detectors(small_artifact: Path) -> Iterator[dict[str, Detector]]:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Detector.load(small_artifact, threads=1))
        first.fit([screw(0), screw(1)], registration="on")
        others = {name: Detector(first.model) for name in NAMES[1:]}
        for number, other in enumerate(others.values()):
            other.use(taught(number, first.artifact.hash))
        yield {NAMES[0]: first, **others}


@pytest.fixture(scope="module")
def station(
    small_artifact: Path, detectors: dict[str, Detector], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Station]:
    root = tmp_path_factory.mktemp("triton")
    files = {}
    for name, detector in detectors.items():
        files[name] = root / f"{name}.safetensors"
        detector.save_category(files[name])
    try:
        folder = install(root / "server")
        backends = folder / "pytriton" / "tritonserver" / "backends"
        shutil.copytree(Path(__file__).parent / "backends", backends, dirs_exist_ok=True)
        (root / "repository").mkdir()
        with serve(folder, root / "repository", root / "log") as running:
            made = Station(running, root, small_artifact, files, detectors)
            made.write(files=list(files.values()))
            yield made
    except UnavailableError as error:
        pytest.fail(f"tritonserver is required here and cannot run: {error}")


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Let as many threads begin at one moment."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait(60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_64_requests_of_three_parts_from_8_clients_are_judged_as_in_process(station: Station) -> None:
    images = {
        name: [ppm(screw(10 + number) if name == "screw" else screw(20 + number, 100)) for number in range(4)]
        for name in NAMES
    }
    wanted = {name: [station.wanted(name, image) for image in images[name]] for name in NAMES}
    before = Client(station.running.address).counts("regad")

    def work(client_number: int) -> list[tuple[str, int, Any]]:
        client, answers = Client(station.running.address), []
        for number in range(8):
            turn = client_number * 8 + number
            name, image = NAMES[turn % 3], turn % 4
            bad = turn == 29
            try:
                sent = b"no image" if bad else images[name][image]
                answers.append((name, image, client.ask("regad", name, sent, (*OUTPUTS, "anomaly_map"))))
            except grpc.InferenceServerException as error:
                answers.append(("bad", turn, str(error)))
        return answers

    answers = [answer for answers in together(8, work) for answer in answers]
    (bad,) = [answer for answer in answers if answer[0] == "bad"]
    assert bad[1] == 29
    assert "the image is not an image file that can be read" in bad[2]
    for name, image, got in answers:
        if name == "bad":
            continue
        alone, batched = wanted[name][image]
        category = station.detectors[name].category
        assert category is not None and got["category"].item().decode() == category.hash
        same = next((one for one in (alone, batched) if one.score == got["score"].item()), None)
        assert same is not None, (name, got["score"], alone.score, batched.score)
        assert (got["threshold"].item(), got["anomalous"].item()) == (same.threshold, same.anomalous)
        assert got["reason"].item().decode() == same.reason
        np.testing.assert_array_equal(got["anomaly_map"], same.anomaly_map)
        if name == "screw":
            assert same.located is not None
            np.testing.assert_array_equal(got["pose"], [*same.located.pose, same.located.quality])
        else:
            assert np.isnan(got["pose"]).all()
    after = Client(station.running.address).counts("regad")
    inferences, executions = after[0] - before[0], after[1] - before[1]
    assert inferences == 64
    assert executions < inferences, "frames of several parts are encoded together"


def test_a_category_is_swapped_under_traffic_without_a_failure(station: Station) -> None:
    image = ppm(screw(3, 100))
    artifact = Artifact.open(station.artifact, verify=False)
    old, new = taught(1, artifact.hash), taught(99, artifact.hash)
    swapped, failed = threading.Event(), []
    seen: Counter[tuple[str, float]] = Counter()

    def work(number: int) -> None:
        client = Client(station.running.address)
        after = 0
        while after < 5 and not failed:
            try:
                got = client.ask("regad", "two", image, ("category", "score"))
            except grpc.InferenceServerException as error:
                failed.append(str(error))
                return
            hash_of = got["category"].item().decode()
            seen[hash_of, got["score"].item()] += 1
            after += hash_of == new.hash
            if sum(seen.values()) > 20 and not swapped.is_set():
                swapped.set()
                (station.root / "new").mkdir()
                save_category(new, station.root / "new" / "two.safetensors")
                station.write(files=[station.root / "new" / "two.safetensors"], check=False)

    together(4, work)
    assert failed == []
    wanted = {}
    for category in (old, new):
        station.detectors["two"].use(category)
        wanted[category.hash] = {result.score for result in station.wanted("two", image)}
    assert {one for one, _ in seen} == {old.hash, new.hash}
    for category_hash, score in seen:
        assert score in wanted[category_hash]


def test_a_damaged_category_does_not_take_over_and_the_one_before_goes_on(station: Station) -> None:
    image = ppm(screw(4, 100))
    client = Client(station.running.address)
    served = station.root / "repository" / "regad" / "1" / "categories" / "one.safetensors"
    raw = bytearray(served.read_bytes())
    raw[-1] ^= 1
    (served.parent / ".one").write_bytes(raw)
    (served.parent / ".one").replace(served)
    while b"category one is not replaced, the previous version stays in use" not in station.running.log.read_bytes():
        got = client.ask("regad", "one", image, ("score", "category"))
        assert got["score"].item() in {result.score for result in station.wanted("one", image)}
    assert client.ask("regad", "one", image)["category"].item().decode() == load_category(station.files["one"]).hash


def test_twenty_categories_stay_within_the_bound_of_memory(station: Station) -> None:
    folder = station.root / "large"
    folder.mkdir()
    artifact = Artifact.open(station.artifact, verify=False)
    save_category(taught(5, artifact.hash, rank=21), folder / "p0.safetensors")
    size = (folder / "p0.safetensors").stat().st_size
    assert LARGE * size > 5 * BOUND_MB * 1e6
    station.write("--name", "small", "--memory-mb", BOUND_MB, files=[folder / "p0.safetensors"])
    served = station.root / "repository" / "small" / "1" / "categories"
    for number in range(1, LARGE):
        os.link(served / "p0.safetensors", served / f"p{number}.safetensors")
    client, image = Client(station.running.address), ppm(screw(5, 100))
    resident = []
    for number in range(LARGE):
        client.ask("small", f"p{number}", image)
        resident.append(station.running.resident("small"))
    assert max(resident) - resident[0] < BOUND_MB * 1e6, resident
    assert max(resident[3:]) - min(resident[3:]) < 2 * size, resident


def test_a_new_version_of_the_model_takes_over_under_traffic_without_a_failure(station: Station) -> None:
    image, files = ppm(screw(6, 100)), [station.files["one"]]
    station.write("--name", "versions", files=files)
    newer = station.root / "newer.regad"
    shutil.copytree(station.artifact, newer)
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps({**manifest, "producer": "again"}))
    versions: Counter[str] = Counter()
    wanted = {result.score for result in station.wanted("one", image)}
    loading, failed = threading.Event(), []

    def work(number: int) -> None:
        client = Client(station.running.address)
        after = 0
        while after < 5 and not failed:
            try:
                version, score = client.version("versions", "one", image)
                assert score in wanted
            except Exception as error:
                failed.append(error)
                return
            versions[version] += 1
            after += version == "2"
            if sum(versions.values()) > 10 and not loading.is_set():
                loading.set()
                station._replace(artifact=newer).write("--name", "versions", files=files)

    together(4, work)
    assert failed == []
    assert set(versions) == {"1", "2"}


def test_graphs_compute_what_the_runtime_computes(station: Station) -> None:
    place(station.root, "flat", 8, Artifact.open(station.artifact, verify=False).hash)
    station.write("--kind", "graphs", "--name", "line", files=[station.root / "flat.safetensors"])
    assert any(path.name.startswith("line_flat_scorer_") for path in (station.root / "repository").iterdir())


@pytest.mark.parametrize("part", ["encoder", "flat_scorer"])
def test_the_check_refuses_a_server_that_computes_graphs_in_tf32(station: Station, part: str) -> None:
    """The stand-in rounds as CUDA does where the configuration that regad-triton writes does not forbid it."""
    artifact, repository = Artifact.open(station.artifact, verify=False), station.root / "repository"
    category = place(station.root, "flat", 8, artifact.hash)
    encoder = write_graphs(repository, f"tf_{part}", artifact, {"flat": category}, max_batch=8, device="cpu", threads=1)
    (model,) = repository.glob(f"tf_{part}_{part}_*")
    text = (model / "config.pbtxt").read_text()
    (model / "config.pbtxt").write_text(text.replace('"use_tf32" value: "0"', '"use_tf32" value: "1"'))
    server = Server(station.running.address)
    server.load(f"tf_{part}_flat", again=True)
    with pytest.raises(ArtifactError, match=r"fails the check: \w+ is off by .* NVIDIA_TF32_OVERRIDE=0"):
        check_graphs(server, encoder, {f"tf_{part}_flat": category}, artifact)


def test_the_page_asks_a_server_as_it_says(station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "triton.md").read_text(), re.DOTALL)
    (tmp_path / "part.png").write_bytes(ppm(screw(7, 100)))
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    exec(block.replace("127.0.0.1:8001", station.running.address).replace('"gear"', '"one"'), told)
    assert told["reject"] == station.detectors["one"].predict(screw(7, 100)).anomalous
    exec(block.replace("127.0.0.1:8001", station.running.address).replace('"gear"', '"nobody"'), told)
    assert told["reject"] is True
