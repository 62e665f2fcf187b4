"""``regad-doctor``: what works here, whether the artifact computes correctly, and the fix for what does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ..errors import ArtifactError
from ..formats.atomic import atomic_write
from ..formats.places import find_model
from .checks import Finding, examine
from .console import EXIT_FAILURE, run_cli
from .options import model_option
from .outputs import Input, check_file, inputs
from .own_files import json_kind

__all__ = ["command", "findings_text", "main"]

_FORMAT = "regad-doctor"
_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


def findings_text(findings: list[Finding]) -> str:
    """Return the findings as text: one line each, below it the command that fixes it."""
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]:<8} {finding.topic:<12} {finding.text}")
        if finding.remedy:
            lines.append(f"{'':<21} fix: {finding.remedy}")
    problems = sum(finding.level == "problem" for finding in findings)
    lines.append(
        f"\n{problems} problem{'s' * (problems != 1)} found" if problems else "\neverything that is needed works"
    )
    return "\n".join(lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@model_option
@click.option("--json", "target", help="File for the findings as JSON, or - for stdout in place of the text.")
def command(model: Path | None, target: str | None) -> int:
    """Check everything that regad-run needs; print what is there and how to fix what is not.

    Exit status: 0 if all that is needed works (notes are about optional things), 1 if there is a problem.
    """
    if target not in (None, "-"):
        check_file("--json", Path(str(target)), json_kind("regad-doctor --json", _FORMAT), _read(model))
    findings = examine(model)
    broken = any(finding.level == "problem" for finding in findings)
    data = json.dumps(
        {"format": _FORMAT, "ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2
    )
    if target not in (None, "-"):
        atomic_write(Path(str(target)), f"{data}\n".encode())
    click.echo(data if target == "-" else findings_text(findings))
    return EXIT_FAILURE if broken else 0


def _read(model: Path | None) -> list[Input]:
    """The artifact that is examined, if there is any."""
    try:
        return inputs("model", model=find_model(model))
    except ArtifactError:
        return []


def main() -> None:
    """Entry point of ``regad-doctor``."""
    run_cli(command)
