"""Reads the Markdown pages: code blocks with their markers, links, headings, and the commands that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["CODE", "ROOT", "Block", "Mention", "anchors", "block_faults", "blocks", "indented", "links", "mentions"]

ROOT = Path(__file__).resolve().parents[2]
CODE = {
    *("sh", "bash", "shell", "console", "zsh", "powershell", "python", "py", "c", "cpp", "c++"),
    *("javascript", "js", "typescript", "ts"),
}
"""Languages of blocks that somebody runs: each says whether a test does."""
RUN = ("sh", "python")

_FENCE = re.compile(r"^( *)(`{3,})(.*)$")
_COMMENT = re.compile(r"^ *<!-- (.*) -->$")
_MARKER = re.compile(r"run|tested: (?P<test>\S+)|not run: \S.*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$")
_CODE_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the line of its fence (from 1), its language, the comment directly above it, and its text."""

    line: int
    language: str
    comment: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether the test of the pages runs it."""
        return self.comment == "run"


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order. Raises ValueError for a fence that is never closed."""
    found, lines = [], page.splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        indent, fence, language = opening.groups()
        closing = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == fence), None)
        if closing is None:
            raise ValueError(f"line {number + 1}: this fence is never closed")
        above = _COMMENT.match(lines[number - 1]) if number else None
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[number + 1 : closing])
        found.append(Block(number + 1, language.strip(), above[1] if above else "", text))
        number = closing + 1
    return found


def block_faults(block: Block) -> Iterator[str]:
    """What the block lacks: a language, and a marker that says who runs it."""
    if not block.language:
        yield "a block needs a language: ```text for output"
    marker = _MARKER.fullmatch(block.comment)
    if block.language in CODE and marker is None:
        yield (
            f"a ```{block.language} block needs one of <!-- run -->, <!-- tested: tests/FILE.py --> and "
            f"<!-- not run: REASON --> on the line above it, not {block.comment!r}"
        )
    if marker is None:
        return
    if block.runs and block.language not in RUN:
        yield f"only {' and '.join(RUN)} blocks are run, not {block.language}"
    test = marker["test"]
    if test is not None and not ((ROOT / test).is_file() and test.startswith("tests/")):
        yield f"it names {test}, which is no file of tests/"


def _outside(page: str) -> Iterator[tuple[int, str]]:
    """The lines of a page outside its blocks, with their numbers from 1."""
    inside = set[int]()
    for block in blocks(page):
        inside.update(range(block.line, block.line + block.text.count("\n") + 2))
    for number, line in enumerate(page.splitlines(), 1):
        if number not in inside:
            yield number, line


def indented(page: str) -> list[int]:
    """The lines at which a block begins by indentation alone, which can have neither language nor marker."""
    found, blank, item = [], True, False
    for number, line in _outside(page):
        depth = len(line) - len(line.lstrip())
        if line and depth == 0:
            item = re.match(r"([-*+]|\d+[.)]) ", line) is not None
        if blank and line.strip() and depth >= (8 if item else 4):
            found.append(number)
        blank = not line.strip() or (blank and depth >= 4)
    return found


def links(page: str) -> list[tuple[int, str]]:
    """The targets of links and pictures outside code, with their lines."""
    return [(number, target) for number, line in _outside(page) for target in _LINK.findall(_CODE_SPAN.sub("", line))]


def anchors(page: str) -> set[str]:
    """The names by which a link can point at the headings of a page, as GitHub makes them."""
    found: set[str] = set()
    for _, line in _outside(page):
        heading = _HEADING.match(line)
        if heading is None:
            continue
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = 0
        while (unique := f"{name}-{count}" if count else name) in found:
            count += 1
        found.add(unique)
    return found


class Mention(NamedTuple):
    """A command that a page names: line, program, the words after it up to the first option, and the options."""

    line: int
    program: str
    words: list[str]
    options: list[str]


_PROGRAM = re.compile(r"\s*(?:(?:\$|sudo|[A-Z_]+=\S*) +)*(?:\S*/)?(regad-[a-z]+)(?![\w-]|\.\w)([^\n]*)")


def mentions(page: str) -> list[Mention]:
    """The commands in shell blocks and in code spans."""
    found = []
    for block in blocks(page):
        if block.language in CODE - {"c", "cpp", "c++"}:
            text = re.sub(r"\\\n", "  ", block.text)
            for number, line in enumerate(text.splitlines(), block.line + 1):
                for part in re.split(r"&&|[|;]", re.sub(r"(^|\s)#.*", "", line)):
                    found += _mentioned(number, part)
    prose = "\n".join(line for _, line in _outside(page))
    for span in _CODE_SPAN.finditer(prose):
        found += _mentioned(0, " ".join(span[2].split()))
    return found


def _mentioned(line: int, text: str) -> Iterator[Mention]:
    match = _PROGRAM.match(text)
    if match is not None:
        words = re.match(r"((?: +[a-z][a-z-]*(?![\w./=-]))*)", match[2])
        options = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", match[2])
        yield Mention(line, match[1], words[1].split() if words else [], options)
