"""What a category stores of a registered part: round trip, and damage told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from regad.runtime.errors import CategoryError, InputError
from regad.runtime.formats.category import (
    Category,
    load_category,
    registration_text,
    save_category,
    tensors_of,
    tensors_sha256,
)
from regad.runtime.formats.limits import Limit
from regad.runtime.formats.registration import Registration, TemplateData, Tried

from .test_category import category

TRIED = Tried("auto", (0.9, 0.875), (0.5, 0.625), 20.5, 11.25, (0.25, 0.5))


def registration() -> Registration:
    rng = np.random.default_rng(3)
    grey = rng.random((256, 256), dtype=np.float32)
    template = TemplateData(grey, (0.25, 0.5, 0.25), (32.0, 32.0, 224.0, 200.5), (640, 480), (120.0, 130.5))
    return Registration(
        template,
        rng.integers(0, 256, (224, 224, 3), np.uint8),
        np.full((56, 56), 1 / 3136, np.float32),
        Limit(0.6875, None, (0.875, 0.9)),
        Limit(0.6, None, (0.98, 1.0)),
    )


def registered() -> Category:
    plain, part = category(), registration()
    digest = tensors_sha256(tensors_of(plain.statistics, None, part))
    return replace(plain, registration=part, tried=TRIED, data_sha256=digest)


def test_a_registered_category_comes_back_as_it_was(tmp_path: Path) -> None:
    save_category(registered(), tmp_path / "part.safetensors")
    back, given = load_category(tmp_path / "part.safetensors"), registration()
    assert back.tried == TRIED and back.registration is not None
    assert "laid by way of another photo they shift by up to 0.5 pixels" in registration_text(back)
    assert (back.registration.quality, back.registration.shown) == (given.quality, given.shown)
    for name, tensor in given.tensors.items():
        assert (back.registration.tensors[name] == tensor).all(), name
    for name in ("weights", "region", "box", "centre"):
        assert getattr(back.registration.template, name) == getattr(given.template, name)


def test_a_part_that_is_not_registered_says_what_was_tried(tmp_path: Path) -> None:
    save_category(replace(category(), tried=TRIED), tmp_path / "part.safetensors")
    back = load_category(tmp_path / "part.safetensors")
    assert back.registration is None and back.tried == TRIED


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """The file with its metadata and tensors changed, and the hash of what it then holds."""
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    meta = json.loads(metadata["meta"])
    change(meta, tensors)
    meta["data_sha256"] = tensors_sha256(tensors)
    safetensors.numpy.save_file(tensors, path, {**metadata, "meta": json.dumps(meta)})
    return path


def test_a_category_of_before_the_poses_were_compared_is_read(tmp_path: Path) -> None:
    save_category(registered(), tmp_path / "part.safetensors")
    older = rewritten(tmp_path / "part.safetensors", lambda meta, tensors: meta["registration_tried"].pop("detours"))
    assert load_category(older).tried == TRIED._replace(detours=())
    assert "they shift by up to" not in registration_text(load_category(older))


def test_that_two_photos_do_not_rule_out_a_round_part_is_said() -> None:
    pair = Tried("auto", (0.9,), (0.5,), 20.5, 11.25, (0.25,))
    doubt = "Two photos do not show that the part is not round"
    assert doubt in registration_text(replace(registered(), tried=pair))
    assert doubt not in registration_text(replace(registered(), tried=TRIED))
    assert doubt not in registration_text(replace(registered(), tried=pair._replace(asked="on")))
    assert doubt not in registration_text(replace(category(), tried=pair))


def put(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda meta, tensors: tensors.__setitem__(name, value)


def say(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda meta, tensors: meta["registration"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            put("template", np.zeros((64, 64), np.float32)),
            r"is float32 \[64, 64\]; expected float32 \[256, 256",
        ),
        (put("template", np.full((256, 256), np.nan, np.float32)), "not finite"),
        (put("reference", np.zeros((224, 224, 3), np.float32)), r"reference is float32 .* expected uint8"),
        (put("structure", np.full((56, 56), -1, np.float32)), "structure holds"),
        (lambda meta, tensors: tensors.pop("structure"), "incomplete"),
        (say("region", [0, 0, 0, 9]), "contradicts itself"),
        (say("region", [250, 250, 256, 256]), "contradicts itself"),
        (say("box", [70000, 10]), "contradicts itself"),
        (say("weights", [1e38, 1e38, 1e38]), "too large"),
        (put("template", np.full((256, 256), 1e9, np.float32)), "too large"),
        (say("region", [0, 0]), "numbers"),
        (say("box", "wide"), "malformed"),
        (say("quality", {"low": 0.9, "taught": [0.5, 0.6]}), "rising"),
        (say("shown", {"taught": [0.5, 0.6]}), "incomplete"),
        (lambda meta, tensors: meta.update(requires=[]), "do not agree"),
        (lambda meta, tensors: meta.update(registration=None), "do not agree"),
        (lambda meta, tensors: meta.update(requires=["registration", "flight"]), "requires flight"),
        (lambda meta, tensors: meta["registration_tried"].update(asked="perhaps"), "'perhaps'"),
        (lambda meta, tensors: meta["registration_tried"].pop("rivals"), "incomplete"),
        (lambda meta, tensors: meta["registration_tried"].update(qualities=[]), "contradicts itself"),
        (lambda meta, tensors: meta["registration_tried"].update(without=0, registered=0), "held-out distances are 0"),
        (lambda meta, tensors: meta["registration_tried"].update(detours=[0.5]), "contradicts itself"),
        (lambda meta, tensors: meta["registration_tried"].update(detours=[0.5, float("nan")]), "contradicts itself"),
        (lambda meta, tensors: meta["registration_tried"].update(detours=7), "incomplete or malformed"),
    ],
)
def test_a_damaged_registration_is_refused_with_one_line(tmp_path: Path, change: Any, says: str) -> None:
    save_category(registered(), tmp_path / "part.safetensors")
    with pytest.raises(CategoryError, match=says) as caught:
        load_category(rewritten(tmp_path / "part.safetensors", change))
    assert "\n" not in str(caught.value)


def test_a_limit_from_above_is_refused() -> None:
    part = registration()
    with pytest.raises(InputError, match="from above"):
        replace(part, quality=Limit(0.5, 0.9, (0.6, 0.7)))


def test_a_match_that_is_nearly_nothing_has_no_sign() -> None:
    tried = Tried("auto", (-0.001, 0.07), (0.24, 0.2))
    assert "at 0.00 to 0.07" in registration_text(replace(category(), tried=tried))
