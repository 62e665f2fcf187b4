"""The encoder as a graph: what `regad.train.model.registration.RegistrationEncoder` computes, written for export.

The model stays unbent: this module takes its submodules and lays the warps out anew.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from regad.runtime.formats.spec import LEVELS, SIZE
from regad.train.model.affine import inverse
from regad.train.model.cells import normalize_cells
from regad.train.model.registration import RegistrationEncoder
from regad.train.model.stn import SpatialTransformer

from .sampler import SAMPLERS
from .stns import predicts_transforms

__all__ = ["EncoderGraph", "fold_batch_norm"]


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place; ``module`` must be in eval mode.

    The order in which a module registers its children is taken as the order in which it applies them.
    """
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        fold_batch_norm(child)
        before = (name, child) if isinstance(child, nn.Conv2d) else None


class EncoderGraph(nn.Module):
    """Image uint8 [B, 224, 224, 3] (RGB) to the four outputs of ``encoder.onnx``.

    They are f1 [B, 3136, 64], f2 [B, 784, 128], f3 [B, 196, 256] (positions row-major) and theta [B, 3, 2, 3].
    ``sampler`` is a key of `regad.export.sampler.SAMPLERS`. The encoder is copied, with its batch norms folded; with
    ``half`` its convolutions, hidden STN layers and warped rows are float16. What decides where a warp reads stays
    float32: the last STN layers, theta, its inverse, coordinates, indices and weights; so do the normalisation of the
    pixels and that of the features.
    For an encoder that does not register there are no STNs and no warps, and theta is the identity.
    """

    def __init__(self, encoder: RegistrationEncoder, sampler: str = "gather", half: bool = False) -> None:
        super().__init__()
        folded = copy.deepcopy(encoder).eval()
        fold_batch_norm(folded)
        if half:
            folded.half()
            for stn in (folded.stn1, folded.stn2, folded.stn3):
                stn.fc[-1].float()
        self.conv1 = folded.conv1
        self.layer1, self.layer2, self.layer3 = folded.layer1, folded.layer2, folded.layer3
        self.stn1, self.stn2, self.stn3 = folded.stn1, folded.stn2, folded.stn3
        self.sampler = SAMPLERS[sampler]()
        self.registers = predicts_transforms(encoder)
        self.normalization = encoder.normalization
        self.identity: Tensor
        self.register_buffer("identity", torch.eye(2, 3).repeat(1, len(LEVELS), 1, 1), persistent=False)
        self.scale: Tensor
        self.shift: Tensor
        mean, std = encoder.mean.double().flatten(), encoder.std.double().flatten()
        self.register_buffer("scale", (1 / (255 * std)).float().repeat(SIZE), persistent=False)
        self.register_buffer("shift", (-mean / std).float().repeat(SIZE), persistent=False)
        self.centres = bool(mean.any())

    def stem(self, image: Tensor) -> Tensor:
        """Pixels to layer1's input.

        (x / 255 - mean) / std as a scale and a shift of whole rows of pixels. Channel by channel ONNX Runtime takes ten
        times as long wherever it keeps the pixels' layout, as in an int8 graph: a quarter of the graph's time.
        """
        # The cast comes first: TensorRT reads uint8 as an input only.
        x = image.float().reshape(-1, SIZE, SIZE * 3) * self.scale
        if self.centres:
            x = x + self.shift
        x = x.reshape(-1, SIZE, SIZE, 3).permute(0, 3, 1, 2).to(self.conv1.weight.dtype)
        return F.max_pool2d(F.relu(self.conv1(x)), kernel_size=3, stride=2, padding=1)

    def theta(self, stn: SpatialTransformer, x: Tensor) -> Tensor:
        """What `SpatialTransformer.theta` gives, float32 [B, 2, 3]; the last layer is float32 in every dtype."""
        hidden = stn.fc[:-1](stn.conv(x).flatten(1))
        return stn.mode.theta(stn.fc[-1](hidden.float()))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode and align back, one warp after the other as in `regad.train.model.registration.align`.

        The inverses are those of the transforms as predicted, in float32; each grid's warps are planned together.
        """
        if not self.registers:
            return self._bare(image)
        sampler = self.sampler
        size1, size2, size3 = (level.grid for level in LEVELS)

        x1 = self.layer1(self.stem(image))
        t1 = self.theta(self.stn1, x1)
        i1 = inverse(t1)
        register, undo1 = sampler.plan([t1, i1], size1)
        x1 = sampler.warp(sampler.enter(x1), register)
        f1 = sampler.warp(x1, undo1)

        x2 = self.layer2(sampler.leave(x1))
        t2 = self.theta(self.stn2, x2)
        i2 = inverse(t2)
        register, undo2, undo1 = sampler.plan([t2, i2, i1], size2)
        x2 = sampler.warp(sampler.enter(x2), register)
        f2 = sampler.warp(sampler.warp(x2, undo2), undo1)

        x3 = self.layer3(sampler.leave(x2))
        t3 = self.theta(self.stn3, x3)
        i3 = inverse(t3)
        register, undo3, undo2, undo1 = sampler.plan([t3, i3, i2, i1], size3)
        x3 = sampler.warp(sampler.enter(x3), register)
        f3 = sampler.warp(sampler.warp(sampler.warp(x3, undo3), undo2), undo1)

        f1, f2, f3 = self._scored([sampler.rows(f) for f in (f1, f2, f3)])
        return f1, f2, f3, torch.stack([t1, t2, t3], 1)

    def _bare(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same for transforms that are the identity: a warp by it changes nothing."""
        x1 = self.layer1(self.stem(image))
        x2 = self.layer2(x1)
        f1, f2, f3 = self._scored([x.flatten(2).transpose(1, 2) for x in (x1, x2, self.layer3(x2))])
        return f1, f2, f3, self.identity.expand(image.shape[0], -1, -1, -1)

    def _scored(self, rows: list[Tensor]) -> list[Tensor]:
        """Aligned rows [B, cells, channels] of each level to what is scored, float32: widened, then normalised."""
        return normalize_cells([level.float() for level in rows], self.normalization, channels=2)
