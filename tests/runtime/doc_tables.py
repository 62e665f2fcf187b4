"""Reads the tables of a page of docs/, to hold them against the code."""

from __future__ import annotations

__all__ = ["rows_of"]


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
