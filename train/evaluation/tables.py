"""A table of text cells, laid out for a terminal, for Markdown and for HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """``head`` and ``rows`` of cells; the first ``left`` columns are names, the others numbers.

    ``strong`` are the numbers of rows that sum up, ``faint`` of rows that are somebody else's.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    strong: frozenset[int] = frozenset()
    faint: frozenset[int] = frozenset()

    def text(self, style: Callable[[str, str], str] = lambda line, kind: line) -> str:
        """Lay out for a terminal, titles broken to the width of their columns.

        ``style`` is given each line and its kind (head, strong, faint or plain), and may colour it.
        """
        cells = list(zip(*self.rows, strict=True)) or [()] * len(self.head)
        words = [max(len(word) for word in title.split() or [""]) for title in self.head]
        widths = [max([word, *(len(cell) for cell in column)]) for word, column in zip(words, cells, strict=True)]
        titles = [textwrap.wrap(title, width) or [""] for title, width in zip(self.head, widths, strict=True)]
        height = max(len(lines) for lines in titles)
        deep = [[""] * (height - len(lines)) + lines for lines in titles]
        head = [style(self._line(line, widths), "head") for line in zip(*deep, strict=True)]
        rule = "-" * len(self._line(("",) * len(widths), widths))
        body = [style(self._line(row, widths), self._kind(number)) for number, row in enumerate(self.rows)]
        return "\n".join([*head, rule, *body])

    def markdown(self) -> str:
        """Lay out as a Markdown table."""
        rule = ["---" if column < self.left else "---:" for column in range(len(self.head))]
        rows = [
            [f"**{cell}**" if cell and number in self.strong else cell for cell in row]
            for number, row in enumerate(self.rows)
        ]
        return "\n".join("| " + " | ".join(line) + " |" for line in [list(self.head), rule, *rows])

    def html(self) -> str:
        """Lay out as an HTML table; cells are escaped."""
        body = "".join(
            f"<tr class='{self._kind(number)}'>{self._cells(row, 'td')}</tr>" for number, row in enumerate(self.rows)
        )
        return f"<table><thead><tr>{self._cells(self.head, 'th')}</tr></thead><tbody>{body}</tbody></table>"

    def _kind(self, row: int) -> str:
        return "strong" if row in self.strong else "faint" if row in self.faint else "plain"

    def _line(self, cells: tuple[str, ...], widths: list[int]) -> str:
        pairs = enumerate(zip(cells, widths, strict=True))
        return "  ".join(
            cell.ljust(width) if column < self.left else cell.rjust(width) for column, (cell, width) in pairs
        )

    def _cells(self, row: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{'' if column < self.left else ' class=right'}>{html.escape(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )
