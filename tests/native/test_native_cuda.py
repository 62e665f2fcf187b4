"""The native detector on a real GPU, against Python's on the CPU; skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from standin import FORMS, photo

from regad.runtime.backends.onnxruntime_gpu import cuda_available
from regad.runtime.cabi import NativeDetector
from regad.runtime.commands.checks import gpus
from regad.runtime.detector import Detector
from regad.runtime.errors import DeviceError
from regad.runtime.formats.artifact import Artifact

pytestmark = pytest.mark.gpu
Open = Callable[..., NativeDetector]


@pytest.fixture
def open_cuda(open_native: Open, standin: Artifact) -> Open:
    if not gpus() or not cuda_available():
        pytest.skip("needs an NVIDIA GPU and ONNX Runtime's GPU build (pip install 'regad[gpu]')")
    return lambda **options: open_native(standin.path, device="cuda", **options)


@pytest.mark.parametrize("form", [f"{form.name}{suffix}" for form in FORMS for suffix in ("", "-fp16")])
@pytest.mark.parametrize("scorer", ["auto", "native"])
def test_every_form(open_cuda: Open, standin: Artifact, form: str, scorer: str) -> None:
    """The graph's scorer on the device, or the compiled one on the host behind an encoder on the device."""
    category = standin.path.parent / f"{form}.safetensors"
    images = [photo(seed, 200 + 30 * seed, 300) for seed in range(4)]
    with Detector.load(standin.path) as python, open_cuda(scorer=scorer) as native:
        assert max(native.self_test()) < 1e-3
        python.load_category(category)
        native.load_category(category)
        assert native.describe()["scorer"] == {"auto": "graph"}.get(scorer, scorer)
        expected = [python.predict(image) for image in images]
        for got in ([native.predict(image) for image in images], native.predict_batch(images)):
            for one, wanted in zip(got, expected, strict=True):
                assert one.score == pytest.approx(wanted.score, rel=1e-4)
                assert np.abs(one.anomaly_map - wanted.anomaly_map).max() <= 1e-3 * wanted.anomaly_map.max()
                assert one.anomalous == wanted.anomalous


def test_threads(open_cuda: Open, standin: Artifact) -> None:
    with open_cuda() as native:
        native.load_category(standin.path.parent / "gram.safetensors")
        alone = [native.predict(photo(seed)).score for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            jobs = [(seed % 4, pool.submit(native.predict, photo(seed % 4))) for seed in range(40)]
        for seed, job in jobs:
            assert job.result().score == pytest.approx(alone[seed], rel=1e-5)


def test_a_gpu_that_is_not_there(open_cuda: Open, open_native: Open, standin: Artifact) -> None:
    with pytest.raises(DeviceError):
        open_native(standin.path, device="cuda:99")
