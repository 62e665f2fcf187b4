from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from regad.runtime.errors import InputError
from regad.train.model import weights
from regad.train.model.registration import RegistrationEncoder
from regad.train.model.weights import Weights, load_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """A ResNet-18 as torchvision names it, with the parts that are not used."""
    torch.manual_seed(7)
    encoder = RegistrationEncoder()
    backbone = {name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith("stn")}
    return {**backbone, "layer4.0.conv1.weight": torch.zeros(2), "fc.weight": torch.zeros(3)}


def write(path: Path, state: State) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".pth"])
def test_every_kind_of_file_loads(tmp_path: Path, state: State, suffix: str) -> None:
    path = write(tmp_path / f"w{suffix}", state)
    encoder = RegistrationEncoder()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items() if name.startswith("stn")}
    got = load_weights(encoder, str(path))
    assert got == Weights(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    after = encoder.state_dict()
    assert all(torch.equal(after[name], state[name]) for name in after if not name.startswith("stn"))
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_none_leaves_the_model_alone() -> None:
    encoder = RegistrationEncoder()
    before = encoder.conv1.weight.clone()
    assert load_weights(encoder, "none") == Weights("none", None)
    assert torch.equal(encoder.conv1.weight, before)


def test_files_without_batch_norm_counters_load(tmp_path: Path, state: State) -> None:
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    load_weights(RegistrationEncoder(), str(write(tmp_path / "old.npz", old)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("layer2.0.conv1.weight"), r"lacks 1 of 75 tensors: layer2\.0\.conv1\.weight"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            r"conv1\.weight is \[64, 1, 7, 7\]; expected \[64, 3, 7, 7\]",
        ),
        (lambda s: s.update({"layer1.2.conv1.weight": torch.zeros(1)}), r"lacks: layer1\.2\.conv1\.weight"),
        (lambda s: s.update({"bn1.bias": torch.full((64,), torch.nan)}), r"bn1\.bias holds values that are not finite"),
    ],
    ids=["missing", "shape", "resnet34", "nan"],
)
def test_weights_that_do_not_fit(tmp_path: Path, state: State, change: object, said: str) -> None:
    changed = dict(state)
    assert callable(change)
    change(changed)
    with pytest.raises(InputError, match=said) as caught:
        load_weights(RegistrationEncoder(), str(write(tmp_path / "w.pt", changed)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.pt", None),
        ("w.onnx", b"x"),
        ("w", b"x"),
        ("w.npz", b"not a zip"),
        ("w.npz", b""),
        ("w.safetensors", b"\x00" * 20),
        ("w.pt", b"\x80\x02garbage"),
        ("w.pth", b""),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="--weights FILE") as caught:
        load_weights(RegistrationEncoder(), str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"conv1.weight": Trap()}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="cannot be read"):
        load_weights(RegistrationEncoder(), str(tmp_path / "w.pt"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "error", [URLError(socket.gaierror(-2, "Name or service not known")), RuntimeError("invalid hash value")]
)
def test_imagenet_without_a_network_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError, match=r"cannot download ImageNet weights .*--weights FILE") as caught:
        load_weights(RegistrationEncoder(), "imagenet")
    assert "\n" not in str(caught.value)


def test_imagenet_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    calls: list[str | None] = []

    def fetch(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
        assert url == weights.IMAGENET_URL
        calls.append(hash_prefix)
        write(Path(dst), state)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for _ in range(2):
        assert load_weights(RegistrationEncoder(), "imagenet").source == "imagenet"
    assert calls == ["f37072fd"]


@pytest.mark.data
def test_the_shared_imagenet_file_loads(data_dir: Path) -> None:
    encoder = RegistrationEncoder()
    got = load_weights(encoder, str(data_dir / "resnet18_imagenet.npz"))
    assert got.source == "resnet18_imagenet.npz"
    with np.load(data_dir / "resnet18_imagenet.npz") as file:
        assert np.array_equal(encoder.layer3[1].bn2.running_var.numpy(), file["layer3.1.bn2.running_var"])
