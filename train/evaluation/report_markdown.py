"""The report of an evaluation as Markdown: what was judged, the table, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regad.runtime.commands.own_files import markdown_mark

from .tables import Table

__all__ = ["render_markdown"]


def render_markdown(facts: Mapping[str, Any], tables: Mapping[str, tuple[Table, str]], command: str) -> str:
    """Return the report; ``tables`` holds each table and a note below it (or nothing) by its heading."""
    model, machine = facts["model"], facts["machine"]
    lines = [
        f"# Evaluation on {facts['data']}",
        markdown_mark("regad-eval"),
        "",
        f"{model['kind'].capitalize()} `{model['name']}` ({model['hash'][:12]}) on {model['device']}, "
        f"{machine['arch']} with {machine['cpus']} cores, regad {facts['software']['regad']}, {facts['created']}. "
        "In percent: mean ± standard deviation over rounds; false rejects and escapes at the threshold that teaching "
        "set.",
    ]
    for heading, (table, note) in tables.items():
        lines += ["", f"## {heading}", "", table.markdown(), *(["", note] if note else [])]
    return "\n".join([*lines, "", "    " + command, ""])
