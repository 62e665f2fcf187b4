"""What Triton's Python backend calls, with a stand-in for the module that it provides."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regad.runtime.model import Model
from regad.runtime.serve.triton import adapter
from regad.runtime.serve.triton.adapter import TritonPythonModel
from regad.runtime.serve.triton.check import ppm
from regad.runtime.serve.triton.config import OUTPUTS, Settings

from .doubles import model, place


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name = name
        self.values = values

    def as_numpy(self) -> np.ndarray:
        return self.values


class Request:
    def __init__(self, images: list[bytes], outputs: list[str], **parameters: str) -> None:
        self.image = Tensor("image", np.array(images, np.object_).reshape(-1, 1))
        self.outputs = outputs
        self.given = parameters

    def parameters(self) -> str:
        return json.dumps(self.given) if self.given else ""

    def requested_output_names(self) -> list[str]:
        return self.outputs


class FakeTriton(ModuleType):
    """``triton_python_backend_utils`` as far as the adapter touches it."""

    Tensor = Tensor

    class TritonError(Exception): ...

    class InferenceResponse:
        def __init__(self, output_tensors: Any = (), error: Exception | None = None) -> None:
            self.tensors = {tensor.name: tensor.values for tensor in output_tensors}
            self.error = error

    class Logger:
        log_info = log_warn = staticmethod(lambda text: None)

    @staticmethod
    def get_input_tensor_by_name(request: Request, name: str) -> Tensor:
        assert name == "image"
        return request.image


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TritonPythonModel:
    folder = tmp_path / "regad" / "3" / "categories"
    folder.mkdir(parents=True)
    for number, name in enumerate("ab"):
        place(folder, name, number)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", FakeTriton("triton_python_backend_utils"))
    loads: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Model, "load", lambda *args: (loads.append(args), model())[1])
    monkeypatch.setattr(adapter, "self_test", lambda artifact, backend: loads.append((backend.name,)))
    parameters = {
        name: {"string_value": value} for name, value in Settings("openvino", 2, precision="bf16").parameters().items()
    }
    made = TritonPythonModel()
    made.initialize(
        {
            "model_config": json.dumps({"parameters": parameters}),
            "model_name": "regad",
            "model_repository": str(tmp_path / "regad"),
            "model_version": "3",
        }
    )
    assert loads == [(tmp_path / "regad" / "3" / "model.regad", "openvino", 2, "bf16"), ("noise",)]
    return made


def test_an_answer_has_the_tensors_that_the_configuration_declares(served: TritonPythonModel) -> None:
    image = np.full((40, 50, 3), 90, np.uint8)
    names = [port.name for port in OUTPUTS]
    (response,) = served.execute([Request([ppm(image), ppm(image)], names, category="a")])
    assert response.error is None
    assert list(response.tensors) == names
    kinds = {"FP64": np.float64, "BOOL": np.bool_, "STRING": np.object_, "FP32": np.float32}
    for port in OUTPUTS:
        values = response.tensors[port.name]
        assert (values.shape, values.dtype) == ((2, *port.dims), kinds[port.kind]), port.name
    assert (response.tensors["score"] > response.tensors["threshold"]).all()
    assert response.tensors["anomalous"].all()
    assert response.tensors["reason"].tolist() == [[b"anomalous"]] * 2
    assert np.isnan(response.tensors["pose"]).all()
    served.finalize()


def test_only_what_was_asked_for_is_sent(served: TritonPythonModel) -> None:
    (response,) = served.execute([Request([ppm(np.zeros((9, 9, 3), np.uint8))], ["anomalous"], category="b")])
    assert list(response.tensors) == ["anomalous"]
    served.finalize()


def test_a_bad_image_and_a_missing_category_fail_alone(served: TritonPythonModel, tmp_path: Path) -> None:
    good = ppm(np.full((20, 20, 3), 7, np.uint8))
    responses = served.execute(
        [
            Request([good], ["score"], category="a"),
            Request([b"junk"], ["score"], category="a"),
            Request([good], ["score"]),
            Request([good], ["score"], category="b"),
        ]
    )
    assert [response.error is None for response in responses] == [True, False, False, True]
    assert all(not response.tensors for response in responses[1:3])
    assert str(responses[1].error).startswith("the image is not an image file that can be read")
    served.finalize()


def test_closing_ends_the_watch_and_the_model(served: TritonPythonModel) -> None:
    served.finalize()
    assert not served._watch._thread.is_alive()
    (response,) = served.execute([Request([ppm(np.zeros((9, 9, 3), np.uint8))], ["score"], category="a")])
    assert "was closed" in str(response.error)


def test_a_ppm_is_read_as_the_pixels_that_were_put_into_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    (tmp_path / "a.ppm").write_bytes(ppm(image))
    with Image.open(tmp_path / "a.ppm") as read:
        np.testing.assert_array_equal(np.asarray(read), image)
