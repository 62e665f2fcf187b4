"""The check of a server: the artifact's golden images are sent, and what comes back is compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.base import Precision
from ...errors import ArtifactError, DeviceError, RegadError
from ...formats.artifact import Artifact
from ...formats.category import Category
from ...formats.features import Features
from ...scoring.compiled import host_scorer
from ...selftest import Deviation, compare, tolerances, worst_of
from ...text import reason_of
from .golden import GOLDEN

__all__ = ["Server", "check_detector", "check_graphs", "ppm"]

_SECONDS = 60.0
_PATIENCE_S = 20.0  # a server looks for new categories every second
_FULL_FP32 = {"f1": 4e-4, "f2": 4e-4, "f3": 4e-4, "anomaly_map": 2e-4, "anomaly_score": 2e-4}
"""Largest error allowed to graphs in fp32, relative as in `tolerances`: a backend in TF32 exceeds it.

TF32 in every product gives features 6e-4 to 1.4e-3 and maps 5e-4 to 1.2e-3 on golden samples. Rounding alone gives at
most 1e-5, but for features 3e-4 where trained transforms are far from the identity.
"""


def ppm(image: NDArray[np.uint8]) -> bytes:
    """Return an image, uint8 RGB [H, W, 3], as the bytes of a PPM file: a header and the pixels as they are."""
    height, width, _ = image.shape
    return b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(image).tobytes()


class Server:
    """A Triton server, asked over gRPC; whatever fails is raised as a DeviceError in one line."""

    def __init__(self, address: str) -> None:
        """Connect to ``HOST:PORT``. Raises DeviceError without the package tritonclient."""
        self._address = address
        self._grpc = _client()
        self._client = self._grpc.InferenceServerClient(address)

    def load(self, model: str, *, again: bool) -> None:
        """Load a model that is not ready, or, ``again``, one that has changed.

        Where the server loads models by itself it must be ready. Raises DeviceError.
        """
        try:
            if not again and self._client.is_model_ready(model, client_timeout=_SECONDS):
                return
            self._client.load_model(model, client_timeout=_SECONDS)
        except Exception as error:
            if "explicit model load" not in str(error) or not self._client.is_model_ready(model):
                raise self._failed(f"load {model}", error) from error

    def infer(
        self,
        model: str,
        images: NDArray[Any],
        outputs: Sequence[str],
        parameters: Mapping[str, str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Send ``images``, uint8 [N, ...] or objects (bytes) [N, 1], one by one.

        Returns the output tensors by their names, [N, ...]. Raises DeviceError.
        """
        wanted = [self._grpc.InferRequestedOutput(name) for name in outputs]
        answers = []
        for image in images:
            tensor = self._grpc.InferInput("image", [1, *image.shape], "BYTES" if image.dtype == object else "UINT8")
            tensor.set_data_from_numpy(image[None])
            answers.append(self._ask(model, tensor, wanted, dict(parameters or {})))
        return {name: np.concatenate([answer.as_numpy(name) for answer in answers]) for name in outputs}

    def _ask(self, model: str, tensor: Any, wanted: Sequence[Any], parameters: dict[str, str]) -> Any:
        try:
            return self._client.infer(model, [tensor], outputs=wanted, parameters=parameters, client_timeout=_SECONDS)
        except Exception as error:
            raise self._failed(f"judge by {model}", error) from error

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _failed(self, what: str, error: Exception) -> RegadError:
        return DeviceError(
            f"the server at {self._address} cannot {what}: {reason_of(error)}",
            remedy="see its log, and docs/triton.md",
        )


def check_detector(
    server: Server,
    model: str,
    artifact: Artifact,
    categories: Mapping[str, Category],
    precision: Precision = "f32",
) -> list[Deviation]:
    """Send the golden images to a detector's golden category, and one to each of ``categories``.

    Map and score must be the golden ones, within what ``precision`` allows, and every category that answers must be the
    one given. Raises ArtifactError where they are not, DeviceError where the server does not answer.
    """
    golden = artifact.golden()
    sent = np.array([ppm(image) for image in golden.images], np.object_).reshape(-1, 1)
    done = server.infer(model, sent, ["anomaly_map", "score"], {"category": GOLDEN})
    scores = done["score"].reshape(-1).astype(np.float32)
    allowed = tolerances(artifact.dtype, artifact.statistics_dtype, precision)
    checks = _compared(allowed, done["anomaly_map"], scores, golden.anomaly_map, golden.anomaly_score)
    _require(checks, server, model)
    for name, category in categories.items():
        _await(server, model, sent[:1], name, category)
    return checks


def _await(server: Server, model: str, image: NDArray[Any], name: str, category: Category) -> None:
    """Ask until a category that was just placed has been taken over."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        served = server.infer(model, image, ["category"], {"category": name})["category"].item().decode()
        if served == category.hash:
            return
        if time.monotonic() > end:
            raise ArtifactError(
                f"{model} judges {name} by category {served}, expected {category.hash}",
                remedy="see the server's log: it may have refused the file",
            )
        time.sleep(0.1)


def check_graphs(
    server: Server, encoder: str, ensembles: Mapping[str, Category], artifact: Artifact
) -> list[Deviation]:
    """Send the golden images to the encoder and to each ensemble.

    Features must be the golden ones, and maps and scores those that this machine computes from the golden features and
    the category's statistics. Raises ArtifactError where they are not, DeviceError where the server does not answer.
    """
    golden = artifact.golden()
    allowed = _allowed(artifact)
    features = server.infer(encoder, golden.images, list(Features._fields))
    checks = [
        compare(name, features[name], wanted, allowed[name])
        for name, wanted in zip(Features._fields, golden.features, strict=True)
    ]
    _require(checks, server, encoder)
    for ensemble, category in ensembles.items():
        scorer = host_scorer(category.statistics, None, category.scoring, category.calibration)
        wanted_map, wanted_score = scorer.score(golden.features)
        done = server.infer(ensemble, golden.images, ["anomaly_map", "anomaly_score"])
        own = _compared(allowed, done["anomaly_map"], done["anomaly_score"].reshape(-1), wanted_map, wanted_score)
        _require(own, server, ensemble)
        checks += own
    return checks


def _allowed(artifact: Artifact) -> dict[str, float]:
    """What graphs may be off by: in fp32 too little for TF32."""
    allowed = tolerances(artifact.dtype, artifact.statistics_dtype)
    if artifact.dtype != "fp32" or artifact.statistics_dtype != "fp32":
        return allowed
    return {output: min(largest, _FULL_FP32.get(output, largest)) for output, largest in allowed.items()}


def _compared(
    allowed: Mapping[str, float],
    maps: NDArray[np.float32],
    scores: NDArray[np.float32],
    wanted_maps: NDArray[np.float32],
    wanted_scores: NDArray[np.float32],
) -> list[Deviation]:
    return [
        compare("anomaly_map", maps, wanted_maps, allowed["anomaly_map"]),
        compare("anomaly_score", scores, wanted_scores, allowed["anomaly_score"]),
    ]


def _require(checks: Sequence[Deviation], server: Server, model: str) -> None:
    worst = worst_of(checks)
    if not worst.ok:
        raise ArtifactError(
            f"{model} fails the check: {worst}",
            remedy="do not trust its verdicts; on a GPU start the server with NVIDIA_TF32_OVERRIDE=0",
            code="self-test",
        )


def _client() -> Any:
    try:
        from tritonclient import grpc
    except ImportError as error:
        raise DeviceError(
            f"--check needs tritonclient, which cannot be imported ({error})",
            remedy="install it: pip install 'regad[triton]'",
            code="missing",
        ) from error
    return grpc
