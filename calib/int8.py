"""Static int8: ranges measured on images of real parts, written into the encoder as QuantizeLinear/DequantizeLinear.

The convolutions of the backbone are quantized, weights per channel. The STNs stay float32: what decides where a warp
reads is not rounded to 8 bits. ONNX Runtime's quantizer does the work; its Q/DQ form is what TensorRT reads too.
"""

from __future__ import annotations

import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from regad.runtime.backends.ort import load_quantization
from regad.runtime.errors import DeviceError, InputError
from regad.runtime.formats.spec import InputSpec
from regad.runtime.imaging.preprocess import preprocess
from regad.runtime.text import Say, unsaid

from .support import draw_support, read_good_images

if TYPE_CHECKING:
    import onnx

__all__ = ["FORMS", "MAX_IMAGES", "RANGES", "Activations", "Ranges", "calibration_images", "quantize_encoder"]

Ranges = Literal["minmax", "entropy", "percentile"]
"""How a tensor's range is set from what it held: all of it, the least information lost, or all but the far tail."""
Activations = Literal["int8", "uint8"]
"""``int8`` is symmetric, for ONNX Runtime and TensorRT; ``uint8`` has zero points, for ONNX Runtime's CPU alone."""

RANGES: Mapping[Ranges, str] = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
"""The names of ONNX Runtime's calibration methods."""
FORMS: Mapping[Activations, tuple[str, ...]] = {
    "int8": ("Conv", "Add"),
    "uint8": ("Conv", "Add", "Relu", "MaxPool"),
}
"""The operators of the backbone whose tensors are quantized. With zero points ReLU costs nothing: it is the range."""
MAX_IMAGES = 64


def calibration_images(
    groups: Sequence[Sequence[Path]], spec: InputSpec, seed: int = 0, say: Say = unsaid
) -> NDArray[np.uint8]:
    """Return preprocessed images, uint8 RGB [N, 224, 224, 3], drawn by ``seed`` from groups of files.

    Each group gives the same share of `MAX_IMAGES`, at least one image, or all that it has; ``say`` receives what is
    odd about them. Raises InputError for an image that cannot be read.
    """
    share = max(1, MAX_IMAGES // len(groups))
    paths = [path for group in groups for path in draw_support(group, min(share, len(group)), seed)]
    return np.stack([preprocess(image, spec) for image in read_good_images(paths, say).images])


def quantize_encoder(
    model: onnx.ModelProto, images: NDArray[np.uint8], ranges: Ranges = "entropy", activations: Activations = "int8"
) -> onnx.ModelProto:
    """Return a float32 encoder graph with its backbone in int8, ranges set from uint8 RGB images [N, 224, 224, 3].

    Inputs and outputs stay as they are. Raises InputError for unknown options, DeviceError without the quantizer.
    """
    for value, options in ((ranges, get_args(Ranges)), (activations, get_args(Activations))):
        if value not in options:
            raise InputError(f"{value!r} is not known to int8; expected one of {', '.join(options)}")
    try:
        import onnx

        quantization = load_quantization()
    except ImportError as error:
        raise DeviceError(
            f"int8 needs ONNX Runtime's quantizer, which cannot be imported ({error})",
            remedy="pip install 'regad[export,cpu]'",
        ) from error
    symmetric = activations == "int8"
    with tempfile.TemporaryDirectory() as folder, _silence():
        target = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            copy.deepcopy(model),  # it moves the weights of its input into a file
            target,
            _reader(quantization.CalibrationDataReader, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(FORMS[activations]),
            nodes_to_quantize=_backbone(model, FORMS[activations]),
            per_channel=True,
            activation_type=quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, RANGES[ranges]),
            extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True, "QuantizeBias": False},
        )
        return onnx.load(target)


def _backbone(model: onnx.ModelProto, operators: tuple[str, ...]) -> list[str]:
    """Names of the backbone's nodes: its convolutions (their weights are not the STNs') and what follows them."""
    chosen: list[str] = []
    produced: set[str] = set()
    for node in model.graph.node:
        follows = not produced.isdisjoint(node.input) and node.op_type in ("Add", "Relu", "MaxPool")
        if follows or (node.op_type == "Conv" and not node.input[1].startswith("stn")):
            produced.update(node.output)
            if node.op_type in operators:
                chosen.append(node.name)
    return chosen


def _reader(base: Any, images: NDArray[np.uint8]) -> Any:
    """The images as ONNX Runtime's quantizer asks for them: one by one, since it refuses batches of several sizes."""

    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image[None]}

    return Reader()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the quantizer's advice and prints from the user; its errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
