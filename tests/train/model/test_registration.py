from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regad.train.model import affine
from regad.train.model.heads import Predictor, SiameseEncoder
from regad.train.model.loss import registration_loss
from regad.train.model.registration import RegistrationEncoder, align
from regad.train.model.weights import load_weights

from ..helpers import perturb


@pytest.fixture(scope="module")
def encoder() -> RegistrationEncoder:
    torch.manual_seed(0)
    model = RegistrationEncoder().eval()
    perturb(model)
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_shapes(encoder: RegistrationEncoder, images: Tensor) -> None:
    with torch.no_grad():
        result = encoder(images)
    assert list(result.feature.shape) == [2, 256, 14, 14]
    assert [list(f.shape) for f in result.aligned] == [[2, 64, 56, 56], [2, 128, 28, 28], [2, 256, 14, 14]]
    assert [list(t.shape) for t in result.thetas] == [[2, 2, 3]] * 3
    assert all(f.dtype == torch.float32 for f in result.aligned)


def test_two_images_give_two_thetas(encoder: RegistrationEncoder, images: Tensor) -> None:
    with torch.no_grad():
        for theta in encoder(images).thetas:
            assert (theta[0] - theta[1]).abs().max() > 1e-4


def reference_invert(x: Tensor, theta: Tensor) -> Tensor:
    """Undo one transform, with the library's inverse and sampler."""
    bottom = torch.tensor([[0.0, 0.0, 1.0]]).expand(len(theta), 1, 3)
    inverse = torch.linalg.inv(torch.cat([theta, bottom], 1))[:, :2]
    grid = F.affine_grid(inverse, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def test_alignment_is_the_chain_of_inverses(encoder: RegistrationEncoder, images: Tensor) -> None:
    with torch.no_grad():
        registered = encoder.register(images)
        got = encoder(images).aligned
    t1, t2, t3 = registered.thetas
    want = (
        reference_invert(registered.x1, t1),
        reference_invert(reference_invert(registered.x2, t2), t1),
        reference_invert(reference_invert(reference_invert(registered.x3, t3), t2), t1),
    )
    for have, expected in zip(got, want, strict=True):
        torch.testing.assert_close(have, expected, rtol=1e-4, atol=1e-4)


def test_one_composed_warp_gives_other_numbers(encoder: RegistrationEncoder, images: Tensor) -> None:
    with torch.no_grad():
        registered = encoder.register(images)
        chained = align(registered)
    i1, i2, i3 = (affine.inverse(theta) for theta in registered.thetas)
    composed = affine.warp(registered.x3, affine.compose(i3, affine.compose(i2, i1)))
    assert (composed - chained.f3).abs().mean() > 1e-3 * chained.f3.abs().mean()


def test_with_identity_transforms_alignment_changes_nothing(images: Tensor) -> None:
    torch.manual_seed(0)
    model = RegistrationEncoder("affine").eval()
    with torch.no_grad():
        registered = model.register(images)
        aligned = align(registered)
    for x, f in zip(registered[:3], aligned, strict=True):
        torch.testing.assert_close(f, x, rtol=1e-4, atol=1e-4)


def test_nothing_is_parked_on_the_module(encoder: RegistrationEncoder, images: Tensor) -> None:
    before = {name: set(vars(module)) for name, module in encoder.named_modules()}
    with torch.no_grad():
        encoder(images)
    assert before == {name: set(vars(module)) for name, module in encoder.named_modules()}


def test_normalisation_is_configuration_and_happens_inside(images: Tensor) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.manual_seed(0)
    plain, normal = RegistrationEncoder().eval(), RegistrationEncoder(mean=mean, std=std).eval()
    assert plain.state_dict().keys() == normal.state_dict().keys()
    normal.load_state_dict(plain.state_dict())
    outside = (images - torch.tensor(mean).reshape(1, 3, 1, 1)) / torch.tensor(std).reshape(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(normal(images).feature, plain(outside).feature)


def test_training_leaves_out_the_alignment_only(encoder: RegistrationEncoder, images: Tensor) -> None:
    with torch.no_grad():
        assert torch.equal(encoder.register(images).x3, encoder(images).feature)


def import_torchvision() -> ModuleType:
    """Import torchvision.models, also where its compiled half does not fit the torch beside it."""
    try:
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        pytest.skip(f"torchvision cannot be imported: {error}")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            pytest.skip(f"torchvision cannot be imported: {error}")
    # Its Python half asks only that these operators are known by name.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        pytest.skip(f"torchvision cannot be imported: {error}")


def test_the_backbone_is_torchvisions(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(3)
    theirs = import_torchvision().resnet18(weights=None).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = RegistrationEncoder().eval()
    load_weights(ours, str(tmp_path / "resnet18.pth"))
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        torch.testing.assert_close(ours.stem(images), x, rtol=1e-5, atol=1e-5)
        for name in ("layer1", "layer2", "layer3"):
            want = getattr(theirs, name)(x)
            torch.testing.assert_close(getattr(ours, name)(x), want, rtol=1e-5, atol=1e-5)
            x = want
        # A fresh STN is the identity up to the rounding of its bilinear weights.
        torch.testing.assert_close(ours(images).feature, x, rtol=1e-3, atol=1e-3)


def test_heads_keep_the_shape_and_follow_their_formula() -> None:
    torch.manual_seed(0)
    encoder, predictor = SiameseEncoder().eval(), Predictor().eval()
    x = torch.randn(2, 256, 5, 4)
    with torch.no_grad():
        rows = x.permute(0, 2, 3, 1)  # at each position the 1x1 convolutions are matrices
        weight = {n: t.flatten(1) for n, t in encoder.state_dict().items() if n.startswith("conv")}
        scale = 1 / (1 + encoder.bn1.eps) ** 0.5
        want = torch.relu(rows @ weight["conv1.weight"].T * scale)
        want = torch.relu(want @ weight["conv2.weight"].T * scale) @ weight["conv3.weight"].T
        torch.testing.assert_close(encoder(x), want.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
        weight = {n: t.flatten(1) for n, t in predictor.state_dict().items() if n.startswith("conv")}
        want = torch.relu(rows @ weight["conv1.weight"].T * scale) @ weight["conv2.weight"].T
        torch.testing.assert_close(predictor(x), want.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


def test_loss_equals_its_formula() -> None:
    torch.manual_seed(0)
    p1, z1, p2, z2 = torch.randn(4, 3, 8, 5, 6, dtype=torch.float64)

    def cosine(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(1) / ((a * a).sum(1).sqrt() * (b * b).sum(1).sqrt())

    want = -(cosine(p1, z2) + cosine(p2, z1)).mean() / 2
    torch.testing.assert_close(registration_loss(p1, z1, p2, z2), want)
    assert registration_loss(p1, p1, p1, p1).item() == pytest.approx(-1)


def test_loss_stops_the_gradient_at_z() -> None:
    torch.manual_seed(0)
    p1, z1, p2, z2 = (torch.randn(2, 8, 3, 3, requires_grad=True) for _ in range(4))
    registration_loss(p1, z1, p2, z2).backward()
    assert p1.grad is not None
    assert p2.grad is not None
    assert z1.grad is None
    assert z2.grad is None
