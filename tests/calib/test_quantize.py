"""regad-quantize: an int8 artifact from one in fp32 and a few photos; it is sound, or it is not written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from regad.calib import quantize_cli
from regad.calib.int8 import MAX_IMAGES
from regad.calib.quantize import quantize_artifact, support_images
from regad.runtime.commands.console import run_cli
from regad.runtime.commands.pick import Candidate, Measured
from regad.runtime.errors import InputError, RegadError
from regad.runtime.formats.artifact import Artifact, write_artifact
from regad.runtime.formats.prior import Prior, Priors


@pytest.fixture(scope="module")
def source(artifact_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact in fp32 that knows what good scores look like."""
    plain = Artifact.open(artifact_dir)
    files = {name: (artifact_dir / name).read_bytes() for name in plain.manifest["files"]}
    manifest = {**plain.manifest, "prior": Priors({4: Prior(0.1, 0.1, 0.1)}, "3 kinds of parts").to_json()}
    return write_artifact(tmp_path_factory.mktemp("source") / "source.regad", manifest, files)


@pytest.fixture(scope="module")
def int8(source: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Quantized from seven images, which are no multiple of any batch."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    images = np.concatenate([noise, source.golden().images])
    return quantize_artifact(source, images, tmp_path_factory.mktemp("int8") / "int8.regad")


def test_the_backbone_is_int8_and_all_else_stays(source: Artifact, int8: Artifact) -> None:
    assert (int8.dtype, int8.hash != source.hash) == ("int8", True)
    assert int8.manifest["operations"]["convolutions"] == {"int8": 15, "fp32": 6}
    assert int8.manifest["int8"] == {"ranges": "entropy", "activations": "uint8", "images": 7}
    assert int8.manifest["quantized_from"] == source.hash
    same = ("scoring", "input", "features", "transforms", "scorers", "statistics_dtype")
    assert [int8.manifest.get(name) for name in same] == [source.manifest.get(name) for name in same]
    assert int8.prior == Priors({4: Prior(0.1, 0.1, 0.1)}, "3 kinds of parts, learnt in fp32")
    others = {name: entry for name, entry in source.manifest["files"].items() if name != "encoder.onnx"}
    assert {name: entry for name, entry in int8.manifest["files"].items() if name != "encoder.onnx"} == others
    assert onnx.load(int8.encoder_path).ir_version == onnx.load(source.encoder_path).ir_version
    assert all(check["ok"] for check in int8.manifest["parity"])


def test_an_int8_artifact_is_not_quantized_again(int8: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is int8; int8 is made from an fp32 artifact"):
        quantize_artifact(int8, np.zeros((1, 224, 224, 3), np.uint8), tmp_path / "again.regad")


def test_ranges_that_are_too_narrow_fail_the_self_test_and_say_what_to_do(source: Artifact, tmp_path: Path) -> None:
    with pytest.raises(
        RegadError, match=r"int8 would fail the golden self-test .* give varied ones with --calib-images"
    ):
        quantize_artifact(source, np.full((2, 224, 224, 3), 128, np.uint8), tmp_path / "grey.regad")


def test_few_photos_give_all_their_views_and_many_an_even_choice(source: Artifact) -> None:
    golden = source.golden().images
    photos = [np.full((30, 40, 3), 10 * number, np.uint8) for number in range(1, 9)]
    few = support_images(source, photos[:2])
    assert few.shape == (44 + len(golden), 224, 224, 3)
    many = support_images(source, photos)
    assert len(many) == MAX_IMAGES
    np.testing.assert_array_equal(many[-len(golden) :], golden)
    plain = {int(value) for value in many[: -len(golden)].max(axis=(1, 2, 3))}
    assert {photo.max() for photo in photos} <= plain, "every photo has a say"


class Bench:
    """Photos in folders, and the command with a quantizer and a comparison that are given."""

    def __init__(self, root: Path, source: Artifact, int8: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.source, self.equal, self.quantized = root, source, 10, 0
        for folder, count in (("good", 2), ("more", 3)):
            (root / folder).mkdir()
            for number in range(count):
                Image.new("RGB", (40, 30), (50 * number, 90, 20)).save(root / folder / f"{number}.png")

        def quantize(source: Artifact, images: Any, folder: Path, ranges: str, activations: str) -> Artifact:
            self.quantized = len(images)
            return int8

        def measure(models: list[Path], subject: Any, runs: int, left_out: Any) -> list[Measured]:
            left_out(f"--device tensorrt --model {models[1]}: no GPU")
            plain, fast = (Candidate(path, "fp32", "cpu", "f32") for path in models)
            return [Measured(plain, 20.0, 10, 10, 0.0), Measured(fast, 8.0, self.equal, 10, 0.01)]

        monkeypatch.setattr(quantize_cli, "quantize_artifact", quantize)
        monkeypatch.setattr(quantize_cli, "measure", measure)

    def run(self, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
        given = ["--model", self.source.path, "--support", self.root / "good", "--out", self.root / "fast.regad"]
        with pytest.raises(SystemExit) as stop:
            run_cli(quantize_cli.command, [str(word) for word in (*given, *words)])
        said = capsys.readouterr()
        return int(str(stop.value.code)), said.out, said.err


@pytest.fixture
def bench(tmp_path: Path, source: Artifact, int8: Artifact, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, source, int8, monkeypatch)


def test_the_support_photos_set_the_ranges_and_the_next_step_is_named(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = bench.run(capsys)
    assert code == 0
    assert bench.quantized == 44 + len(bench.source.golden().images)
    assert Artifact.open(bench.root / "fast.regad").dtype == "int8"
    assert "verdicts not compared with fp32: give photos with --validation to know" in out
    assert f"next      regad-calib --model {bench.root}/fast.regad --support {bench.root}/good --out" in out


def test_given_photos_set_them_instead(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(capsys, "--calib-images", bench.root / "more")[0] == 0
    assert bench.quantized == 3


def test_verdicts_are_compared_on_the_validation_photos(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bench.run(capsys, "--validation", bench.root / "more")
    assert code == 0
    assert "fastest" in out
    assert f"--device cpu --model {bench.root}/fast.regad (fp32): 0.40 of the time, 0 of 10 verdicts differ" in out
    assert f"left out --device tensorrt --model {bench.root}/fast.regad: no GPU" in err


def test_too_many_changed_verdicts_and_nothing_is_written(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.equal = 9
    code, _, err = bench.run(capsys, "--validation", bench.root / "more")
    assert code == 1
    assert "int8 changes 1 of 10 verdicts, but 95% must stay equal; nothing was written; give more varied photos" in err
    assert not (bench.root / "fast.regad").exists()
    assert bench.run(capsys, "--validation", bench.root / "more", "--min-agreement", 0.9)[0] == 0


def test_one_photo_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.root / "good" / "1.png").unlink()
    code, _, err = bench.run(capsys)
    assert (code, "holds 1 photo; a part is taught from 2 or more" in err) == (1, True)
