"""Errors carry what is wrong, what to do and a word for programs; nobody has to read their text."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

from regad.runtime import errors
from regad.runtime.errors import DeviceError, RegadError

ROOT = Path(__file__).resolve().parents[2]


def test_an_error_is_one_line_of_message_and_remedy() -> None:
    error = DeviceError("no GPU", remedy="use --device cpu", code="absent")
    assert (str(error), error.message, error.remedy, error.code) == (
        "no GPU; use --device cpu",
        "no GPU",
        "use --device cpu",
        "absent",
    )
    plain = RegadError("no GPU: use --device cpu")
    assert (str(plain), plain.message, plain.remedy, plain.code) == (*["no GPU: use --device cpu"] * 2, "", "")


def test_an_error_keeps_its_parts_in_another_process_and_in_a_copy() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)("a", remedy="b", code="c")
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(other) is type(error)
            assert (str(other), other.message, other.remedy, other.code) == ("a; b", "a", "b", "c")


def test_no_error_of_ours_is_taken_apart_as_text() -> None:
    """str(error).partition(...) and the like, where the error is a RegadError or one of its kinds."""
    ours = set(errors.__all__)
    found = []
    for package in ("runtime", "calib", "train", "export"):
        for path in (ROOT / package).rglob("*.py"):
            for handler in ast.walk(ast.parse(path.read_text())):
                if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
                    continue
                if not ours & {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}:
                    continue
                for node in ast.walk(handler):
                    taken = node.value if isinstance(node, ast.Attribute | ast.Subscript) else None
                    if isinstance(taken, ast.Call) and isinstance(taken.func, ast.Name) and taken.func.id == "str":
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
