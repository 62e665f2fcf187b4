"""Reads the tables and blocks of a page of docs/, to hold them against the code."""

from __future__ import annotations

from ..documentation.pages import blocks

__all__ = ["blocks_of", "commands_of", "rows_of"]


def rows_of(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is headed ``first``."""
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def blocks_of(page: str, language: str) -> list[str]:
    """The texts of the fenced blocks of a language, in their order."""
    return [block.text for block in blocks(page) if block.language == language]


def commands_of(page: str, program: str) -> list[str]:
    """The lines of the page's ``sh`` blocks that begin with ``program``, continued ones joined, without it."""
    lines = "\n".join(blocks_of(page, "sh")).replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]
