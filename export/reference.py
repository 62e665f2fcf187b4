"""What the exported files are compared with: the PyTorch model, and its scores in float64."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from regad.runtime.formats.features import Features
from regad.runtime.formats.spec import EPSILON, GRID, POSITIONS
from regad.runtime.scoring.reference import smoothing_matrix, upsample
from regad.train.model.registration import RegistrationEncoder

__all__ = ["distances", "images_as_torch", "scores", "torch_features"]

_STRIP = 4 * GRID


def images_as_torch(images: NDArray[np.uint8]) -> torch.Tensor:
    """Take uint8 RGB [B, 224, 224, 3] to what the model reads: float32 [B, 3, 224, 224] in [0, 1]."""
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def torch_features(encoder: RegistrationEncoder, images: NDArray[np.uint8]) -> Features:
    """Return the model's features of uint8 RGB images [B, 224, 224, 3]; the encoder must be in eval mode."""
    encoded = encoder(images_as_torch(images))
    f1, f2, f3 = (f.flatten(2).transpose(1, 2).contiguous().numpy() for f in encoded.aligned)
    return Features(f1, f2, f3, torch.stack(list(encoded.thetas), 1).numpy())


def distances(support: Features, query: Features) -> NDArray[np.float64]:
    """Return the Mahalanobis distances, float64 [B, 56, 56], of ``query`` to the Gaussians of the ``support`` views.

    Per position on the whole embedding of 448 channels: with the centred views X [N, 448], Sigma = X^T X / (N - 1) +
    eps I has the inverse (I - X^T (X X^T + eps (N - 1) I)^-1 X) / eps (Woodbury). No factoring over the levels, unlike
    the encodings that are checked against it; tests compare it with the dense inverse.
    """
    seen, views = _embedding(query), _embedding(support)
    ridge = EPSILON * (len(views) - 1) * np.eye(len(views))
    out = np.empty((len(seen), POSITIONS))
    for start in range(0, POSITIONS, _STRIP):
        strip = slice(start, start + _STRIP)
        x = views[:, strip].transpose(1, 0, 2).astype(np.float64)
        d = seen[:, strip].transpose(1, 0, 2).astype(np.float64)
        mean = x.mean(axis=1, keepdims=True)
        x, d = x - mean, d - mean
        y = x @ d.transpose(0, 2, 1)
        solved = np.linalg.solve(x @ x.transpose(0, 2, 1) + ridge, y)
        squared = ((d * d).sum(axis=2) - (y * solved).sum(axis=1)) / EPSILON
        out[:, strip] = np.sqrt(np.maximum(squared, 0)).T
    return out.reshape(-1, GRID, GRID)


def _embedding(features: Features) -> NDArray[np.float32]:
    """Concatenate the levels at 56 x 56, nearest upsampling: float32 [B, 3136, 448]."""
    f2 = upsample(features.f2.transpose(1, 0, 2), 2).transpose(1, 0, 2)
    f3 = upsample(features.f3.transpose(1, 0, 2), 4).transpose(1, 0, 2)
    return np.concatenate([features.f1, f2, f3], axis=2)


def scores(support: Features, query: Features) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return anomaly_map [B, 224, 224] and anomaly_score [B] of ``query``, computed in float64, stored as float32."""
    smooth = smoothing_matrix().astype(np.float64)
    maps = (smooth @ distances(support, query) @ smooth.T).astype(np.float32)
    return maps, maps.max(axis=(1, 2))
