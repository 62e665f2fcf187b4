"""What every backend promises, on each of them: CPU, OpenVINO; GPU providers and TensorRT on stand-ins."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from regad.runtime.backends.base import Backend
from regad.runtime.backends.host import HostEncoded
from regad.runtime.backends.table import open_backend
from regad.runtime.errors import DeviceError, InputError
from regad.runtime.formats.artifact import Artifact
from regad.runtime.formats.encodings import Statistics
from regad.runtime.formats.features import Features

from ..doubles import FakeCuda
from ..ort_double import FakeOrt

Open = Callable[[], Backend]


@pytest.fixture(params=["cpu", "cuda", "tensorrt", "openvino"])
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a backend of each kind; those for GPUs on stand-ins that compute on the CPU."""
    folder = request.getfixturevalue("built")
    if request.param == "cuda":
        request.getfixturevalue("ort")
    elif request.param == "tensorrt":
        request.getfixturevalue("cuda")
    artifact = Artifact.open(folder)
    return lambda: open_backend(artifact, request.param, 1)


def test_encode_and_score_are_infer(opened: Open, images: np.ndarray, statistics: Statistics) -> None:
    backend = opened()
    handle = backend.prepare(statistics)
    for batch in (images[:1], images):
        encoded, done = backend.encode(batch), backend.infer(batch, handle)
        maps, scores = backend.score(encoded, handle)
        np.testing.assert_allclose(maps, done.anomaly_map, rtol=0, atol=1e-4 * maps.max())
        np.testing.assert_allclose(scores, done.anomaly_score, rtol=1e-4)
        np.testing.assert_allclose(encoded.theta, done.theta, rtol=0, atol=1e-6)
        assert min(done.encode_ms, done.score_ms) > 0
        assert (maps.shape, scores.shape, encoded.theta.shape) == (
            (len(batch), 224, 224),
            (len(batch),),
            (len(batch), 3, 2, 3),
        )


def test_images_of_a_batch_are_scored_apart_against_the_statistics_of_their_own_part(
    opened: Open, images: np.ndarray, statistics: Statistics
) -> None:
    backend = opened()
    other = Statistics(
        statistics.encoding,
        statistics.rank,
        statistics.views,
        {name: tensor * np.float32(0.5) for name, tensor in statistics.tensors.items()},
    )
    handles = [backend.prepare(statistics), backend.prepare(other)]
    wanted = [backend.score(backend.encode(images), handle) for handle in handles]
    whole = backend.encode(images)
    features = whole.features()
    for start, stop, handle in [(0, 1, 0), (1, 2, 1), (1, 4, 0), (2, len(images), 1), (0, len(images), 0)]:
        encoded = whole.rows(start, stop)
        near = 1e-4 * float(wanted[handle].anomaly_score.max())
        for again in (encoded, whole.rows(0, stop).rows(start, stop)) if start == 1 else (encoded,):
            maps, scores = backend.score(again, handles[handle])
            np.testing.assert_allclose(maps, wanted[handle].anomaly_map[start:stop], rtol=0, atol=near)
            np.testing.assert_allclose(scores, wanted[handle].anomaly_score[start:stop], rtol=0, atol=near)
        for name, got, level in zip(Features._fields, encoded.features(), features, strict=True):
            np.testing.assert_array_equal(got, level[start:stop], err_msg=name)
        np.testing.assert_array_equal(encoded.theta, features.theta[start:stop])
        encoded.release()
    np.testing.assert_array_equal(whole.features().f3, features.f3)


def test_batches_that_are_held_do_not_overwrite_each_other(
    opened: Open, images: np.ndarray, statistics: Statistics
) -> None:
    backend = opened()
    handle = backend.prepare(statistics)
    wanted = [backend.features(image[None]) for image in images[:3]]
    held = [backend.encode(image[None]) for image in images[:3]]
    backend.infer(images[4:], handle)
    for encoded, alone in zip(held, wanted, strict=True):
        got = encoded.features()
        encoded.release()
        backend.infer(images[3:], handle)
        for name, one, two in zip(Features._fields, got, alone, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=name)


def test_results_are_the_callers_own(opened: Open, images: np.ndarray, statistics: Statistics) -> None:
    backend = opened()
    handle = backend.prepare(statistics)
    done = backend.infer(images[:1], handle)
    before = [values.copy() for values in done[:3]]
    backend.infer(images[1:2], handle)
    for values, copy in zip(done[:3], before, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_a_batch_of_no_images_is_refused(opened: Open, images: np.ndarray, statistics: Statistics) -> None:
    backend = opened()
    handle = backend.prepare(statistics)
    for call in (backend.encode, backend.features, lambda none: backend.infer(none, handle)):
        with pytest.raises(InputError, match="holds no images"):
            call(images[:0])


def test_what_another_backend_made_is_refused(
    opened: Open, small_artifact: Path, images: np.ndarray, statistics: Statistics
) -> None:
    backend, twin = opened(), opened()

    class Stranger:
        theta = None
        backend = twin

    with pytest.raises(DeviceError, match="the features come from another backend"):
        backend.score(Stranger(), backend.prepare(statistics))  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="the statistics come from another backend"):
        backend.infer(images[:1], Stranger())
    with pytest.raises(DeviceError, match="the features come from another backend"):
        backend.score(twin.encode(images[:1]), backend.prepare(statistics))
    with pytest.raises(DeviceError, match="the statistics come from another backend"):
        backend.infer(images[:1], twin.prepare(statistics))


def test_after_close_every_call_says_the_same(opened: Open, images: np.ndarray, statistics: Statistics) -> None:
    backend = opened()
    handle, encoded = backend.prepare(statistics), backend.encode(images[:1])
    backend.close()
    backend.close()
    said = set()
    for call in (
        lambda: backend.encode(images),
        lambda: backend.features(images),
        lambda: backend.prepare(statistics),
        lambda: backend.score(encoded, handle),
        lambda: backend.infer(images, handle),
    ):
        with pytest.raises(DeviceError) as caught:
            call()
        said.add(str(caught.value))
    assert said == {"this model or detector was closed and cannot be used any more; load the artifact again"}
    assert backend.name
    assert backend.device in ("cpu", "cuda", "tensorrt", "openvino:CPU")


def test_closing_while_threads_judge_ends_each_call_with_a_result_or_the_message(
    opened: Open, images: np.ndarray, statistics: Statistics
) -> None:
    backend = opened()
    handle = backend.prepare(statistics)
    wanted = backend.infer(images[:1], handle).anomaly_score[0]
    ended: list[object] = []
    first = threading.Barrier(4)

    def judge() -> None:
        first.wait(30)
        try:
            while True:
                assert backend.infer(images[:1], handle).anomaly_score[0] == pytest.approx(wanted, rel=1e-5)
        except DeviceError as error:
            ended.append(error.code)

    threads = [threading.Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    first.wait(30)
    backend.close()
    for thread in threads:
        thread.join(30)
    assert ended == ["closed"] * 3


def test_close_lets_go_of_the_encoder_while_the_backend_is_still_held(small_artifact: Path, images: np.ndarray) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cpu", 1)
    session = weakref.ref(backend._session)  # type: ignore[attr-defined]
    encoded = backend.encode(images[:1])
    assert isinstance(encoded, HostEncoded)
    encoded.release()
    del encoded
    backend.close()
    gc.collect()
    assert session() is None


def test_close_lets_go_of_every_gpu_session(ort: FakeOrt, small_artifact: Path, statistics: Statistics) -> None:
    backend = open_backend(Artifact.open(small_artifact), "cuda")
    held = backend.prepare(statistics)
    sessions = [weakref.ref(backend._encoder), weakref.ref(*backend._scorers.values())]  # type: ignore[attr-defined]
    backend.close()
    gc.collect()
    assert [session() for session in sessions] == [None, None], "also while a part's statistics are held"
    assert held.backend is backend


def test_close_gives_back_tensorrts_memory_stream_and_events(
    cuda: FakeCuda, built: Path, images: np.ndarray, statistics: Statistics
) -> None:
    backend = open_backend(Artifact.open(built), "tensorrt")
    backend.infer(images[:1], backend.prepare(statistics))
    backend.close()
    gc.collect()
    assert cuda.blocks == {}
    assert sorted(cuda.destroyed) == ["event"] * 3 + ["stream"]


def test_parts_prepared_at_once_open_their_scorer_once(
    ort: FakeOrt, artifact_dir: Path, statistics: Statistics
) -> None:
    backend = open_backend(Artifact.open(artifact_dir), "cuda")
    begin = threading.Barrier(4)

    def prepare() -> None:
        begin.wait(30)
        backend.prepare(statistics)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [name for name, *_ in ort.opened] == ["encoder.onnx", "scorer.onnx"]
