"""Writes docs/commands.md from the click commands behind the entry points; a test fails while the page is stale."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["PAGE", "REMEDY", "commands", "entries", "page", "subcommands"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "commands.md"
REMEDY = "python tests/documentation/commands_page.py"

LINE, PART, TRAIN = "I integrate a line", "I know the part", "I train and export"
DOORS = {
    **dict.fromkeys(("regad-train", "regad-eval", "regad-export", "regad-quantize"), TRAIN),
    **dict.fromkeys(("regad-calib", "regad-run", "regad-doctor"), PART),
}
"""The door of the README that a command belongs to; of those that are not named here, `LINE`."""

HEAD = f"""# Commands

**For** everyone who types a command. **After reading** you can find the command for a task, and every option it takes.

A test holds this page against the commands. It is made by `{REMEDY}`: change the help texts, not this page.
Every command prints the same with `--help`. Exit status: 0 success, 1 a failure, told in one line, 2 wrong usage,
130 interrupted; a command with further ones lists them below.
"""


def entries() -> dict[str, str]:
    """The programs of pyproject.toml: name and ``module:function``."""
    scripts: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    return scripts


@cache
def commands() -> dict[str, click.Command]:
    """The click command behind each entry point."""
    return {name: _behind(entry) for name, entry in entries().items()}


def _behind(entry: str) -> click.Command:
    """The command that an entry point hands to `run_cli`: it is called, and nothing is run."""
    module, _, name = entry.partition(":")
    main = getattr(import_module(module), name)
    found: list[click.Command] = []
    with patch.dict(main.__globals__, run_cli=found.append):
        main()
    return found[0]


def subcommands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The command and, of a group, its commands, by their whole names."""
    yield name, command
    if isinstance(command, click.Group):
        for word in command.list_commands(click.Context(command)):
            yield f"{name} {word}", command.commands[word]


def page() -> str:
    """The whole page."""
    known = commands()
    rows = [
        f"| [`{name}`](#{name}) | {_sentence(command)} | {DOORS.get(name, LINE)} |" for name, command in known.items()
    ]
    parts = [HEAD, "| command | what for | door |", "|---|---|---|", *rows]
    for top, command in known.items():
        for name, one in subcommands(command, top):
            parts += ["", f"{'##' if name == top else '###'} {name}", "", *_section(name, one)]
    return "\n".join(parts) + "\n"


def _sentence(command: click.Command) -> str:
    first = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
    return _cell(first.split(". ")[0].removesuffix("."))


def _section(name: str, command: click.Command) -> Iterator[str]:
    usage = [_metavar(one) for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if isinstance(command, click.Group):
        usage.append("COMMAND")
    yield from ["```text", " ".join([name, *(["[OPTIONS]"] if options else []), *usage]), "```", ""]
    yield from _prose(command.help or "")
    if options:
        yield from ["", "| option | value | default | what |", "|---|---|---|---|"]
        yield from (_row(one, command) for one in options)
    if command.epilog:
        yield from ["", *_prose(command.epilog)]


def _prose(text: str) -> Iterator[str]:
    """Paragraphs of a help text; those that begin with a backspace, which click leaves alone, become text blocks."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ""
        if paragraph.startswith("\b"):
            yield from ["```text", paragraph.removeprefix("\b\n"), "```"]
        else:
            yield _plain(paragraph)


def _row(option: click.Option, command: click.Command) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    words = option.help or ""
    told = re.search(r"\s*[\[(]default: (.*?)[\])]\.?$", words)
    default = told[1] if told else _default(option, command)
    if option.required:
        default = "required"
    words = words[: told.start()] if told else words
    if option.multiple and "repeat" not in words:
        words += " Repeatable."
    return f"| {names} | {_value(option)} | {_cell(default)} | {_cell(words)} |"


def _default(option: click.Option, command: click.Command) -> str:
    shown = option.show_default
    if shown is None:
        shown = bool(command.context_settings.get("show_default"))
    value = option.default
    if not shown or isinstance(value, bool) or not isinstance(value, (str, int, float, Path)) or value == "":
        return ""
    return f"`{value}`"


def _metavar(argument: click.Argument) -> str:
    name = (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _value(option: click.Option) -> str:
    """What the option takes, in words."""
    kind = option.type
    if option.is_flag:
        return ""
    if option.metavar:
        return _cell(option.metavar)
    if isinstance(kind, click.Choice):
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    if isinstance(kind, click.Tuple):
        return " ".join(_type_name(one) for one in kind.types)
    return _type_name(kind)


def _type_name(kind: click.ParamType) -> str:
    if isinstance(kind, click.Path):
        return "path"
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        word = "whole number" if isinstance(kind, click.IntRange) else "number"
        low = "" if kind.min is None else f" above {kind.min:g}" if kind.min_open else f" from {kind.min:g}"
        high = "" if kind.max is None else f" below {kind.max:g}" if kind.max_open else f" to {kind.max:g}"
        return f"{word}{low}{high}"
    return {"integer": "whole number", "float": "number"}.get(kind.name, kind.name)


def _cell(text: str) -> str:
    return _plain(" ".join(text.split())).replace("|", "\\|")


def _plain(text: str) -> str:
    """The text with what Markdown would take for its own."""
    return text.replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
