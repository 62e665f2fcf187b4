from __future__ import annotations

import pytest
import torch

from regad.train.model.gains import scale_levels
from regad.train.model.heads import SiameseEncoder
from regad.train.model.registration import RegistrationEncoder


def model() -> tuple[RegistrationEncoder, SiameseEncoder]:
    """An encoder with random weights, batch norm statistics and transforms, and a head."""
    torch.manual_seed(0)
    encoder, head = RegistrationEncoder(), SiameseEncoder()
    with torch.no_grad():
        for module in (*encoder.modules(), *head.modules()):
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for stn in (encoder.stn1, encoder.stn2, encoder.stn3):
            stn.fc[2].weight.normal_(0, 0.01)  # type: ignore[operator, union-attr]
    return encoder.eval(), head.eval()


@pytest.mark.parametrize("gains", [(1.0, 1.0, 8.0), (0.5, 4.0, 16.0), (3.0, 0.7, 10.0)])
@torch.no_grad()
def test_gains_scale_the_maps_and_nothing_else(gains: tuple[float, float, float]) -> None:
    images = torch.rand(2, 3, 224, 224)
    encoder, head = model()
    plain, embedding = encoder(images), head(encoder(images).feature)
    states = scale_levels(encoder.state_dict(), head.state_dict(), gains)
    encoder.load_state_dict(states[0])
    head.load_state_dict(states[1])
    scaled = encoder(images)
    exact = all(gain in (0.5, 1.0, 4.0, 8.0, 16.0) for gain in gains)
    close = {"rtol": 0.0, "atol": 0.0} if exact else {"rtol": 1e-3, "atol": 1e-4}
    for gain, was, now in zip(gains, plain.aligned, scaled.aligned, strict=True):
        torch.testing.assert_close(now, was * gain, **close)
    for was, now in zip(plain.thetas, scaled.thetas, strict=True):
        torch.testing.assert_close(now, was, **close)
    torch.testing.assert_close(head(scaled.feature), embedding, **close)
