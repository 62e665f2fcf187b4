"""The checkpoint behind the deployed backend's protocol, and the backend that encodes once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from regad.calib.gaussian import fit_statistics
from regad.calib.teach import teach
from regad.runtime.backends.base import Inference, StatisticsHandle
from regad.runtime.errors import DeviceError
from regad.runtime.formats.encodings import Statistics
from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import LEVELS
from regad.train.data.episodes import to_input
from regad.train.evaluation.backend_torch import TorchBackend, checkpoint_detector
from regad.train.evaluation.memo import MemoBackend
from regad.train.model.registration import RegistrationEncoder
from regad.train.run.device import torch_device

from ..helpers import perturb, released


def photos(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder() -> RegistrationEncoder:
    torch.manual_seed(0)
    encoder = RegistrationEncoder()
    perturb(encoder)
    return encoder.eval()


def test_features_are_the_encoders_row_major(encoder: RegistrationEncoder) -> None:
    images = photos(2)
    got = TorchBackend(encoder, torch.device("cpu")).features(images)
    with torch.inference_mode():
        want = encoder(to_input(images))
    for level, features, aligned in zip(LEVELS, got[:3], want.aligned, strict=True):
        assert features.shape == (2, level.positions, level.channels)
        assert features.flags.c_contiguous
        assert np.abs(features[1, level.grid + 3] - aligned[1, :, 1, 3].numpy()).max() < 1e-4
    assert np.abs(got.theta[1, 2] - want.thetas.t3[1].numpy()).max() < 1e-5
    assert not np.array_equal(got.theta[0], got.theta[1])


def test_teaching_and_judging_through_the_detector(tmp_path: Path) -> None:
    torch.save(released("rotation_scale"), tmp_path / "model.pt")
    detector = checkpoint_detector(tmp_path / "model.pt")
    assert detector.device.startswith("cpu (torch")
    images = photos(3)
    category = teach(detector.model, images[:2], detector.spec, without=("rotations", "shifts"))
    detector.use(category)
    assert category.artifact == detector.model.info.hash
    known, new = detector.predict_batch([images[0], images[2]])
    assert known.score < new.score
    assert known.anomaly_map.max() == known.score


@pytest.mark.parametrize("name", ["tensorrt", "gpu"])
def test_a_device_that_torch_does_not_have(name: str) -> None:
    with pytest.raises(DeviceError, match="a checkpoint runs in torch, on auto, cpu or cuda"):
        torch_device(name)


def test_cuda_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match="torch finds no CUDA device"):
        torch_device("cuda")


class Counting:
    """A backend whose features are the image's mean, and that notes how many images it encodes."""

    name, device, precision = "counting", "cpu", "f32"

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.inferred = 0

    def features(self, images: NDArray[np.uint8]) -> Features:
        self.encoded.append(len(images))
        means = images.mean(axis=(1, 2, 3), dtype=np.float32)
        maps = [np.ones((len(images), n.positions, n.channels), np.float32) * means[:, None, None] for n in LEVELS]
        return Features(*maps, np.zeros((len(images), 3, 2, 3), np.float32) + means[:, None, None, None])

    def prepare(self, statistics: Statistics, scoring: object = None, calibration: object = None) -> StatisticsHandle:
        return statistics

    def infer(self, images: NDArray[np.uint8], statistics: StatisticsHandle) -> Inference:
        self.inferred += 1
        zeros = np.zeros(len(images), np.float32)
        return Inference(zeros, zeros, zeros, 1.0, 2.0)

    def close(self) -> None:
        self.encoded.append(-1)


def test_every_image_is_encoded_once() -> None:
    inner = Counting()
    memo = MemoBackend(inner)
    images = photos(4)
    memo.features(images[:2])
    got = memo.features(images[[3, 1, 0, 2, 3]])
    assert inner.encoded == [2, 2]
    want = inner.features(images[[3, 1, 0, 2, 3]])
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def test_the_least_recently_used_go_first() -> None:
    inner = Counting()
    one = sum(level.nbytes for level in inner.features(photos(1)))
    memo = MemoBackend(inner, limit=2 * one)
    a, b, c = (photos(1, seed) for seed in range(3))
    inner.encoded.clear()
    for image in (a, b, a, c):  # b goes
        memo.features(image)
    memo.features(a)
    assert inner.encoded == [1, 1, 1]
    memo.features(b)
    assert inner.encoded == [1, 1, 1, 1]
    memo.features(np.concatenate([a, b, c]))  # more than fit are still answered
    memo.close()
    assert inner.encoded[-1] == -1


def test_scores_come_from_the_kept_features(encoder: RegistrationEncoder) -> None:
    backend = TorchBackend(encoder, torch.device("cpu"))
    memo = MemoBackend(backend)
    images = photos(4)
    statistics = fit_statistics(memo.features(images))
    handle = memo.prepare(statistics)
    got, want = memo.infer(images[1:3], handle), backend.infer(images[1:3], backend.prepare(statistics))
    assert got.anomaly_score == pytest.approx(want.anomaly_score, rel=1e-4)
    assert np.array_equal(got.theta, memo.features(images[1:3]).theta)
    assert got.encode_ms > 0
    assert memo.infer(images[1:3], handle).encode_ms == got.encode_ms


def test_a_backend_that_scores_on_a_device_is_asked() -> None:
    inner = Counting()
    memo = MemoBackend(inner)
    statistics = fit_statistics(inner.features(photos(3)))
    memo.infer(photos(1), memo.prepare(statistics))
    assert inner.inferred == 1
    assert (memo.name, memo.device) == ("counting", "cpu")
