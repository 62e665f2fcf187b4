"""Entry points of ``regad-train`` and ``regad-eval``: they say what to install where PyTorch is missing."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from regad.runtime.commands.console import EXIT_FAILURE, run_cli

__all__ = ["evaluate_main", "train_main"]


def _run(program: str, module: str, *needs: str) -> None:
    """Run a command, which imports ``needs`` when it comes to them: said here is what is missing, before it begins."""
    try:
        for name in needs:
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
        run_cli(import_module(f"regad.train.{module}").command)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("regad"):
            raise
        print(f"error: {program} needs {error.name}; install it: pip install 'regad[train,cpu]'", file=sys.stderr)
        sys.exit(EXIT_FAILURE)


def train_main() -> None:
    """Run ``regad-train``."""
    _run("regad-train", "run.command", "torch")


def evaluate_main() -> None:
    """Run ``regad-eval``."""
    _run("regad-eval", "evaluation.command", "sklearn", "scipy")
