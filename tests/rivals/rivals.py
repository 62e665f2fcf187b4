"""PatchCore and PaDiM of anomalib on the support sets, images and backbone weights of a regad-eval result.

Runs in anomalib's environment (``make rivals`` makes it). anomalib's own classes and default preprocessing are used:
the model's default size, ImageNet normalisation, its default layers, coreset ratio and neighbours, its image score.
Only the backbone (ResNet-18) and its weights are set. Maps are brought to 224 x 224 (bilinear), where ours are judged,
and both are measured by the same code. anomalib sets no threshold from normal images, so its rates are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision_names import import_torchvision

import_torchvision()
from anomalib.models import Padim, Patchcore  # noqa: E402

from regad.runtime.formats.spec import SIZE, InputSpec  # noqa: E402
from regad.runtime.imaging.reading import read_image  # noqa: E402
from regad.train.evaluation.evaluate import Draw, Evaluation, TestSet, load_test, measured  # noqa: E402
from regad.train.evaluation.results import read_draws, write_results  # noqa: E402
from regad.train.model.weights import read_weights  # noqa: E402

BATCH = 16


class Remember(nn.Module):
    """A feature extractor that sees every image once: rounds and shots share their test images."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor.eval()
        self.kept: dict[bytes, dict[str, Tensor]] = {}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features by layer of images [B, 3, h, w]."""
        features = [self.one(image[None]) for image in images]
        return {layer: torch.cat([one[layer] for one in features]) for layer in features[0]}

    def one(self, image: Tensor) -> dict[str, Tensor]:
        """Features by layer of one image [1, 3, h, w]."""
        key = hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
        if key not in self.kept:
            self.kept[key] = self.extractor(image)
        return self.kept[key]


RIVALS: dict[str, Callable[[], Any]] = {
    "PatchCore": lambda: Patchcore(backbone="resnet18", pre_trained=False, **_BARE),
    "PaDiM": lambda: Padim(backbone="resnet18", pre_trained=False, **_BARE),
}
_BARE = {"post_processor": False, "evaluator": False, "visualizer": False}


class Rival:
    """One of `RIVALS` with our weights; a fresh model for every support set over one extractor."""

    def __init__(self, name: str, weights: dict[str, Tensor]) -> None:
        self.make = RIVALS[name]
        model = self.make()
        self.transform = model.pre_processor.transform
        extractor = model.model.feature_extractor
        own = extractor.feature_extractor.state_dict()
        extractor.feature_extractor.load_state_dict({key: weights[key] for key in own if key in weights}, strict=False)
        lacking = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
        if lacking:
            sys.exit(f"error: the weights lack {len(lacking)} tensors of the backbone: {lacking[0]}")
        self.extractor = Remember(extractor)

    def read(self, path: Path) -> Tensor:
        """An image file as the model's input, [1, 3, h, w]."""
        image = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1).float().div(255)
        return self.transform(image[None])

    def fit(self, images: Sequence[Tensor], seed: int) -> nn.Module:
        """A model fitted to the support images; ``seed`` is for its random choices (features, coreset)."""
        torch.manual_seed(seed)
        model = self.make()
        model.model.feature_extractor = self.extractor
        model.model.train()
        self.extractor.eval()
        for image in images:
            model.model(image)
        model.fit()
        return model.model.eval()


@torch.inference_mode()
def judge(rival: Rival, tests: TestSet, inputs: Sequence[Tensor], root: Path, drawn: Draw) -> Evaluation:
    """Fit to one support set and judge the test images."""
    model = rival.fit([rival.read(root / support.name) for support in drawn.support], drawn.seed)
    maps = np.empty((len(inputs), SIZE, SIZE), np.float32)
    scores = np.empty(len(inputs), np.float32)
    for start in range(0, len(inputs), BATCH):
        part = slice(start, start + BATCH)
        got = model(torch.cat(list(inputs[part])))
        scores[part] = got.pred_score.reshape(-1).numpy()
        full = F.interpolate(got.anomaly_map.reshape(-1, 1, *got.anomaly_map.shape[-2:]), (SIZE, SIZE), mode="bilinear")
        maps[part] = full[:, 0].numpy()
    return measured(tests, drawn, scores, maps)


def facts(name: str, weights: Path, data: Path) -> dict[str, Any]:
    """What the result file says of the run."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {
        "model": {"kind": "anomalib", "name": name, "backbone": "resnet18", "weights": weights.name, "sha256": digest},
        "data": data.name,
        "machine": {"arch": platform.machine()},
        "software": {"anomalib": version("anomalib"), "torch": str(torch.__version__), "numpy": np.__version__},
    }


def main() -> None:
    """Judge with every rival; one result file each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--support-from", type=Path, required=True, help="result file of regad-eval --json")
    parser.add_argument("--data", type=Path, required=True, help="its data folder")
    parser.add_argument("--weights", type=Path, required=True, help="the backbone's weights, as for regad-train")
    parser.add_argument("--out", type=Path, required=True, help="folder for patchcore.json and padim.json")
    parser.add_argument("--category", action="append", default=[], help="only this one; repeatable")
    options = parser.parse_args()
    draws = read_draws(options.support_from)
    names = options.category or list(dict.fromkeys(drawn.category for drawn in draws))
    weights = read_weights(options.weights)
    for rival_name in RIVALS:
        results, items = [], {}
        for name in names:
            rival = Rival(rival_name, weights)
            tests = load_test(options.data, name, InputSpec())
            items[name] = tests.items
            inputs = [rival.read(item.path) for item in tests.items]
            for drawn in (drawn for drawn in draws if drawn.category == name):
                results.append(judge(rival, tests, inputs, options.data, drawn))
                print(f"{rival_name}: {name}, shot {drawn.shot}, seed {drawn.seed}", file=sys.stderr, flush=True)
        path = options.out / f"{rival_name.lower()}.json"
        write_results(path, facts(rival_name, options.weights, options.data), items, options.data, results)


if __name__ == "__main__":
    main()
