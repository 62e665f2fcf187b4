"""Makes anomalib's OpenVINO exports that the benchmark times; runs in anomalib's environment (``make bench`` makes it).

PatchCore (ResNet-18, 10 % coreset) and PaDiM (ResNet-18) are fitted to k images with anomalib's own classes, default
layers, sizes and preprocessing. Weights are random: times do not depend on them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "rivals"))
from torchvision_names import import_torchvision

import_torchvision()
from anomalib.models import Padim, Patchcore  # noqa: E402

MODELS: dict[str, Any] = {
    "patchcore": lambda: Patchcore(backbone="resnet18", pre_trained=False, coreset_sampling_ratio=0.1),
    "padim": lambda: Padim(backbone="resnet18", pre_trained=False),
}


SIZES = {"scaled": (256, 256), "frame": (1080, 1920)}
"""What the exports take: the model's own size, for frames that OpenCV scales, and whole frames, scaled in the graph."""

ONE_IMAGE = {"dynamic_shapes": None}
"""A fixed batch of one: OpenVINO's fastest, and PatchCore's dynamic batch is exported as two."""


def read(path: Path) -> torch.Tensor:
    """An image as [1, 3, h, w] in [0, 1]."""
    image = np.array(Image.open(path).convert("RGB"))
    return torch.from_numpy(image).permute(2, 0, 1).float().div(255)[None]


def main() -> None:
    """Fit each model to the images of a folder and export it below ``OUT/NAME/SIZE``, fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--support", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    images = [read(path) for path in sorted(given.support.iterdir())]
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model = make()
        model.model.train()
        model.model.feature_extractor.eval()
        with torch.no_grad():
            for image in images:
                model.model(model.pre_processor.transform(image))
        with torch.no_grad():
            model.fit()
        model.eval()
        for label, size in SIZES.items():
            model.to_openvino(given.out / name / label, input_size=size, onnx_kwargs=ONE_IMAGE)


if __name__ == "__main__":
    main()
