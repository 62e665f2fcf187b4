"""The golden file: inputs and expected outputs that let a device test itself."""

from __future__ import annotations

from regad.calib.gaussian import fit_statistics
from regad.calib.views import support_views
from regad.runtime.formats.artifact import Golden, write_golden
from regad.train.model.registration import RegistrationEncoder

from .reference import scores, torch_features
from .samples import synthetic_images

__all__ = ["golden_bytes"]

_SEED = 20220
_VIEWS = 3


def golden_bytes(encoder: RegistrationEncoder) -> bytes:
    """Return ``golden.safetensors`` of an encoder in eval mode: three images, their features and anomaly maps.

    All expected values are PyTorch's. The images are synthetic, so that no photo of anyone's parts travels with the
    artifact; the statistics, three views of a fourth one, keep the file below 10 MB.
    """
    images = synthetic_images(4, _SEED)
    features = torch_features(encoder, images[1:])
    support = torch_features(encoder, support_views(images[0])[:_VIEWS])
    anomaly_map, anomaly_score = scores(support, features)
    return write_golden(Golden(images[1:], features, fit_statistics(support, "gram"), anomaly_map, anomaly_score))
