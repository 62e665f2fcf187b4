"""What runs inside Triton's Python backend: requests in, answers out; the rest is `regad.runtime.serve.service`.

The ``model.py`` of a repository imports `TritonPythonModel` from here: the regad of the server's Python is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RegadError
from ...imaging.reading import prepare_pillow
from ...model import Model
from ...result import Result
from ...selftest import self_test
from ..service import Answer, Request, Service
from ..shelf import Shelf, Watch
from .config import ARTIFACT, CATEGORIES, Settings

__all__ = ["TritonPythonModel", "tensors"]


def tensors(answer: Answer, with_map: bool = True) -> dict[str, NDArray[Any]]:
    """Return an answer as the model's output tensors, by their names in `regad.runtime.serve.triton.config.OUTPUTS`."""
    results, count = answer.results, len(answer.results)

    def column(values: Sequence[Any], dtype: Any) -> NDArray[Any]:
        return np.array(values, dtype).reshape(count, 1)

    def words(values: Sequence[str]) -> NDArray[Any]:
        return column([value.encode() for value in values], np.object_)

    maps = {"anomaly_map": np.stack([result.anomaly_map for result in results])} if with_map else {}
    return {
        "score": column([result.score for result in results], np.float64),
        "threshold": column([result.threshold for result in results], np.float64),
        "anomalous": column([result.anomalous for result in results], np.bool_),
        "warn": column([result.warn for result in results], np.bool_),
        "reason": words([result.reason for result in results]),
        "detail": words([result.detail for result in results]),
        "pose": np.array([_pose(result) for result in results], np.float64).reshape(count, 5),
        "category": words([answer.category.hash] * count),
        **maps,
    }


def _pose(result: Result) -> tuple[float, ...]:
    """Angle, dx, dy, scale and quality; NaN where the part is not registered."""
    located = result.located
    return (np.nan,) * 5 if located is None else (*located.pose, located.quality)


class TritonPythonModel:
    """One model that serves every category of its folder. Triton calls the three methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the artifact, prove it by its golden self-test, and read categories while they find room."""
        import triton_python_backend_utils as pb_utils

        prepare_pillow()
        self._triton = pb_utils
        parameters = json.loads(args["model_config"]).get("parameters", {})
        settings = Settings.from_parameters({name: value["string_value"] for name, value in parameters.items()})
        folder = Path(args["model_repository"]) / args["model_version"]
        model = Model.load(folder / ARTIFACT, settings.device, settings.threads, settings.precision)
        self_test(model.artifact, model.backend)
        shelf = Shelf(model, folder / CATEGORIES, settings.memory_mb * 1_000_000, say=pb_utils.Logger.log_warn)
        shelf.fill()
        self._model = model
        self._watch = Watch(shelf, settings.watch_seconds)
        self._service = Service(model, shelf, settings.category)
        pb_utils.Logger.log_info(f"regad {args['model_name']}: {model.device}, categories {', '.join(shelf.names)}")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests that Triton gathered; what one of them runs into is its error alone."""
        answers = self._service.answer([self._read(request) for request in requests])
        return [self._response(*pair) for pair in zip(requests, answers, strict=True)]

    def finalize(self) -> None:
        """Let go of the device."""
        self._watch.close()
        self._model.close()

    def _read(self, request: Any) -> Request:
        parameters = json.loads(request.parameters() or "{}")
        images = self._triton.get_input_tensor_by_name(request, "image").as_numpy()
        return Request(str(parameters.get("category", "")), list(images.reshape(-1)))

    def _response(self, request: Any, answer: Answer | RegadError) -> Any:
        triton = self._triton
        if isinstance(answer, RegadError):
            return triton.InferenceResponse(error=triton.TritonError(str(answer)))
        wanted = set(request.requested_output_names())
        made = tensors(answer, with_map="anomaly_map" in wanted)
        return triton.InferenceResponse([triton.Tensor(name, made[name]) for name in made if name in wanted])
