"""The encoder's graph: what `regad.train.model.registration.RegistrationEncoder` computes, operator by operator.

It is written by hand, not traced: the graph holds what is meant and nothing else, whatever PyTorch's version, and is
written in a tenth of a second. That it computes what the model computes is verified at every export
(`regad.export.parity`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from regad.runtime.formats.normalization import FLOOR, FeatureNormalization
from regad.runtime.formats.spec import LEVELS, SIZE
from regad.train.model.affine import MIN_DETERMINANT
from regad.train.model.modes import MATRIX, StnMode
from regad.train.model.registration import RegistrationEncoder

from .graph import Graph
from .sampler import SAMPLERS
from .stns import predicts_transforms

__all__ = ["write_encoder"]


def write_encoder(encoder: RegistrationEncoder, sampler: str = "gather", half: bool = False) -> onnx.ModelProto:
    """Return the graph of an encoder, at opset 16: image uint8 [B, 224, 224, 3] (RGB) to four outputs.

    They are f1 [B, 3136, 64], f2 [B, 784, 128], f3 [B, 196, 256] (positions row-major) and theta [B, 3, 2, 3], float32.
    ``sampler`` is a key of `regad.export.sampler.SAMPLERS`. Batch norms are folded into the convolutions before them;
    parameters keep the names of the state dict. With ``half`` convolutions, hidden STN layers and warped rows are
    float16. What decides where a warp reads stays float32: the last STN layers, theta, its inverse, coordinates,
    indices and weights; so do the normalisation of the pixels and that of the features. For an encoder that does not
    register there are no STNs and no warps, and theta is the identity.
    """
    writer = _Writer(encoder, sampler, half)
    outputs = writer.registered() if predicts_transforms(encoder) else writer.bare()
    shapes = [[level.positions, level.channels] for level in LEVELS] + [[len(LEVELS), 2, 3]]
    names = [*(level.name for level in LEVELS), "theta"]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", SIZE, SIZE, 3])
    infos = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape])
        for name, shape in zip(names, shapes, strict=True)
    ]
    return writer.graph.model("regad_encoder", [image], dict(zip(outputs, infos, strict=True)))


def _fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place; ``module`` must be in eval mode.

    The order in which a module registers its children is taken as the order in which it applies them.
    """
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        _fold_batch_norm(child)
        before = (name, child) if isinstance(child, nn.Conv2d) else None


def _parameters(encoder: RegistrationEncoder, half: bool) -> dict[str, NDArray[Any]]:
    """The encoder's parameters by name, batch norms folded; float16 with ``half``, but for the last STN layers."""
    folded = copy.deepcopy(encoder).eval()
    _fold_batch_norm(folded)
    return {
        name: value.detach().numpy().astype(np.float16 if half and ".fc.2." not in name else np.float32)
        for name, value in folded.named_parameters()
    }


class _Writer:
    """Adds the encoder's parts to ``graph``, from the pixels to what is scored."""

    def __init__(self, encoder: RegistrationEncoder, sampler: str, half: bool) -> None:
        self.graph, self.half = Graph(), half
        self.parameters = _parameters(encoder, half)
        self.mode: StnMode = encoder.stn1.mode
        self.normalization: FeatureNormalization = encoder.normalization
        self.mean, self.std = (value.double().flatten().numpy() for value in (encoder.mean, encoder.std))
        make = SAMPLERS[sampler]
        self.samplers = [make(self.graph, "image", level.grid, level.channels, half) for level in LEVELS]

    def registered(self) -> list[str]:
        """Encode and align back, one warp after the other as in `regad.train.model.registration.align`.

        The inverses are those of the transforms as predicted, in float32; each grid's warps are planned together.
        """
        x = self.stem()
        thetas: list[str] = []
        inverses: list[str] = []
        aligned = []
        for number, sampler in enumerate(self.samplers, 1):
            x = self.layer(x, f"layer{number}")
            entries = self.theta(x, f"stn{number}")
            thetas.append(self.matrix(entries))
            inverses.insert(0, self.matrix(self.inverse(entries)))
            register, *undo = sampler.plan([thetas[-1], *inverses])
            warped = f = sampler.warp(sampler.enter(x), register)
            for plan in undo:
                f = sampler.warp(f, plan)
            aligned.append(sampler.rows(f))
            if number < len(LEVELS):
                x = sampler.leave(warped)
        return [*self.scored(aligned), self.graph("Concat", *thetas, axis=1)]

    def bare(self) -> list[str]:
        """The same for transforms that are the identity: a warp by it changes nothing."""
        g, x, rows = self.graph, self.stem(), []
        for number, level in enumerate(LEVELS, 1):
            x = self.layer(x, f"layer{number}")
            flat = g("Reshape", x, [-1, level.channels, level.positions])
            rows.append(g("Transpose", flat, perm=[0, 2, 1]))
        identity = np.tile(np.eye(2, 3, dtype=np.float32), (1, len(LEVELS), 1, 1))
        return [*self.scored(rows), g("Expand", identity, g("Concat", self.batch(), [len(LEVELS), 2, 3], axis=0))]

    def stem(self) -> str:
        """Pixels to layer1's input.

        (x / 255 - mean) / std as a scale and a shift of whole rows of pixels. Channel by channel ONNX Runtime takes ten
        times as long wherever it keeps the pixels' layout, as in an int8 graph: a quarter of the graph's time.
        """
        g = self.graph
        # The cast comes first: TensorRT reads uint8 as an input only.
        x = g("Reshape", g("Cast", "image", to=onnx.TensorProto.FLOAT), [-1, SIZE, SIZE * 3])
        x = g("Mul", x, np.tile((1 / (255 * self.std)).astype(np.float32), SIZE))
        if self.mean.any():
            x = g("Add", x, np.tile((-self.mean / self.std).astype(np.float32), SIZE))
        x = g("Transpose", g("Reshape", x, [-1, SIZE, SIZE, 3]), perm=[0, 3, 1, 2])
        if self.half:
            x = g("Cast", x, to=onnx.TensorProto.FLOAT16)
        return self.pooled(g("Relu", self.conv(x, "conv1", stride=2)))

    def pooled(self, x: str) -> str:
        """Halve a map's sides."""
        return self.graph("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)

    def conv(self, x: str, name: str, stride: int = 1) -> str:
        """Add a convolution that keeps the map's size, or divides it by ``stride``, with the bias that it may have."""
        kernel = self.parameters[f"{name}.weight"].shape[2]
        return self.graph(
            "Conv", x, *self.weights(name), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4
        )

    def weights(self, name: str) -> list[str]:
        """Add the weight and bias of a layer."""
        parts = (f"{name}.{part}" for part in ("weight", "bias"))
        return [self.graph.parameter(part, self.parameters[part]) for part in parts if part in self.parameters]

    def layer(self, x: str, name: str) -> str:
        """Add a residual layer of two blocks; one whose shortcut is projected strides."""
        g = self.graph
        for block in (f"{name}.0", f"{name}.1"):
            projects = f"{block}.downsample.0.weight" in self.parameters
            shortcut = self.conv(x, f"{block}.downsample.0", stride=2) if projects else x
            y = g("Relu", self.conv(x, f"{block}.conv1", stride=2 if projects else 1))
            x = g("Relu", g("Add", self.conv(y, f"{block}.conv2"), shortcut))
        return x

    def theta(self, x: str, stn: str) -> dict[str, str]:
        """Predict the transforms of ``x``: their six entries by name, row by row, float32 [B, 1] each."""
        g = self.graph
        for conv in (f"{stn}.conv.0", f"{stn}.conv.4"):
            x = self.pooled(g("Relu", self.conv(x, conv)))
        hidden = self.weights(f"{stn}.fc.0")
        flat = g("Reshape", x, [-1, self.parameters[f"{stn}.fc.0.weight"].shape[1]])
        x = g("Relu", g("Gemm", flat, *hidden, transB=1))
        if self.half:
            x = g("Cast", x, to=onnx.TensorProto.FLOAT)
        values = g("Gemm", x, *self.weights(f"{stn}.fc.2"), transB=1)
        return self.entries(dict(zip(self.mode.predicted, g.split(values, 1, [1] * self.mode.parameters), strict=True)))

    def entries(self, predicted: Mapping[str, str]) -> dict[str, str]:
        """What `regad.train.model.stn.build_theta` gives."""
        g = self.graph
        entries = {name: predicted.get(name) or self.column(rest) for name, rest in MATRIX.items()}
        if "angle" in predicted:
            cos, sin = g("Cos", predicted["angle"]), g("Sin", predicted["angle"])
            scaled = {name: g("Mul", cos, predicted[name]) if name in predicted else cos for name in ("xx", "yy")}
            entries |= {**scaled, "xy": g("Neg", sin), "yx": sin}
        return entries

    def batch(self) -> str:
        """The number of images, int64 [1]."""
        return self.graph("Shape", "image", start=0, end=1)

    def column(self, value: float) -> str:
        """The same number for every image, float32 [B, 1]."""
        return self.graph("Expand", value, self.graph("Concat", self.batch(), [1], axis=0))

    def inverse(self, theta: Mapping[str, str]) -> dict[str, str]:
        """What `regad.train.model.affine.inverse` gives."""
        g = self.graph
        a, b, tx, c, d, ty = (theta[name] for name in MATRIX)
        det = g("Sub", g("Mul", a, d), g("Mul", b, c))
        floor = g("Where", g("Less", det, 0.0), -MIN_DETERMINANT, MIN_DETERMINANT)
        det = g("Where", g("Less", g("Abs", det), MIN_DETERMINANT), floor, det)
        a, b, c, d = g("Div", d, det), g("Div", g("Neg", b), det), g("Div", g("Neg", c), det), g("Div", a, det)
        shift = [g("Neg", g("Add", g("Mul", p, tx), g("Mul", q, ty))) for p, q in ((a, b), (c, d))]
        return dict(zip(MATRIX, (a, b, shift[0], c, d, shift[1]), strict=True))

    def matrix(self, entries: Mapping[str, str]) -> str:
        """Lay six entries out as [B, 1, 2, 3]."""
        return self.graph("Reshape", self.graph("Concat", *entries.values(), axis=1), [-1, 1, 2, 3])

    def scored(self, rows: list[str]) -> list[str]:
        """Aligned rows [B, cells, channels] of each level to what is scored: widened, then normalised."""
        g = self.graph
        if self.half:
            rows = [g("Cast", f, to=onnx.TensorProto.FLOAT) for f in rows]
        return [self.normalized(f, *level) for f, level in zip(rows, self.normalization.levels, strict=True)]

    def normalized(self, f: str, exponent: float, gain: float) -> str:
        """What `regad.train.model.cells.normalize_cells` gives of one level; nothing is added where nothing changes."""
        g = self.graph
        if exponent == 0:
            return f if gain == 1 else g("Mul", f, gain)
        # Not ReduceL2, whose axes are an attribute below opset 18.
        length = g("Add", g("Sqrt", g("ReduceSum", g("Mul", f, f), [2], keepdims=1)), FLOOR)
        return g("Mul", f, g("Mul", g("Pow", length, -exponent), gain))
