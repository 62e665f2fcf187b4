"""The pages keep their rules: who they are for, links that lead somewhere, commands that exist, blocks that run.

Each page's ``run`` blocks are run in order in a folder that holds ``model.regad``, ``good/`` (drawn photos),
``more-good/``, ``part.safetensors`` and ``frames/``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from .documentation.commands_page import PAGE, REMEDY, commands, entries, page, subcommands
from .documentation.pages import ROOT, Block, anchors, block_faults, blocks, indented, links, mentions

RULED = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "RESULTS.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
"""The pages that say who they are for and whether their blocks are run."""
LINKED = [*RULED, *(path for path in sorted(ROOT.glob("*.md")) if path not in RULED), ROOT / "packaging" / "README.md"]
CATEGORY = "nut"
PATIENCE_S = 180
FOR = re.compile(r"\*\*For\*\* .+\. \*\*After reading\*\* you can .+\.")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


RUNNING = [path for path in RULED if any(block.runs for block in blocks(text_of(path)))]


@pytest.mark.parametrize("path", RULED, ids=named)
def test_a_page_says_first_who_it_is_for_and_what_they_can_do_then(path: Path) -> None:
    title, second, *_ = text_of(path).split("\n\n")
    assert re.fullmatch(r"# .+", title)
    assert FOR.fullmatch(" ".join(second.split())), "expected: **For** whom. **After reading** you can ... ."


@pytest.mark.parametrize("path", RULED, ids=named)
def test_every_block_says_its_language_and_who_runs_it(path: Path) -> None:
    text = text_of(path)
    faults = [f"line {block.line}: {fault}" for block in blocks(text) for fault in block_faults(block)]
    faults += [f"line {line}: indented code; fence it, so that it can name its language" for line in indented(text)]
    assert faults == []


@pytest.mark.parametrize("path", LINKED, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(path: Path) -> None:
    dead = []
    for line, target in links(text_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(text_of(file))):
            dead.append(f"line {line}: {target}")
    assert dead == []


def test_the_readme_is_read_in_minutes() -> None:
    assert len(text_of(ROOT / "README.md").split()) <= 900


def test_every_page_is_found_from_the_readme() -> None:
    found, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path.suffix == ".md" and path.is_file() and path not in found:
            found.add(path)
            ahead += [(path.parent / target.partition("#")[0]).resolve() for _, target in links(text_of(path))]
    assert [named(path) for path in RULED if path not in found] == []


def test_the_commands_page_is_what_the_commands_say() -> None:
    assert text_of(PAGE) == page(), f"docs/commands.md is stale: {REMEDY}"


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {option.opts[0]}"
        for top, command in commands().items()
        for name, one in subcommands(command, top)
        for option in one.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


@pytest.mark.parametrize("path", RULED, ids=named)
def test_every_command_that_a_page_names_takes_these_options(path: Path) -> None:
    known = {
        name: {word for option in one.params for word in (*option.opts, *option.secondary_opts)} | {"--help"}
        for top, command in commands().items()
        for name, one in subcommands(command, top)
    }
    faults = []
    for mention in mentions(text_of(path)):
        longest = " ".join([mention.program, *mention.words[:1]])
        options = known.get(longest, known.get(mention.program))
        if options is None:
            faults += [f"line {mention.line}: {mention.program} is no command"] if mention.options else []
        else:
            strange = sorted(set(mention.options) - options)
            faults += [f"line {mention.line}: {longest} has no {' '.join(strange)}"] if strange else []
    assert faults == []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a page may rely on, made once. The encoder is a small stand-in: teaching takes seconds with a real one."""
    from standin import write_standin

    from regad.calib.cli import command as calib
    from regad.runtime.formats.scoring import SCORINGS

    sys.path.insert(0, str(ROOT / "tests" / "demo"))
    try:
        from parts import sample, save
    finally:
        sys.path.pop(0)

    folder = tmp_path_factory.mktemp("page")
    write_standin(folder / "model.regad", scoring=SCORINGS["edge"])
    for name, first, count in (("good", 100, 2), ("more-good", 200, 5), ("frames", 300, 2)):
        for index in range(first, first + count):
            save(folder / name / f"{index}.png", sample(CATEGORY, index=index).image[..., ::-1])
    save(folder / "frames" / "defect.png", sample(CATEGORY, "scratch", 300).image[..., ::-1])
    words = ["--model", folder / "model.regad", "--support", folder / "good", "--out", folder / "part.safetensors"]
    calib.main([*map(str, words), "--threads", "1"], standalone_mode=False)
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the entry points of this checkout, and python."""
    folder = tmp_path_factory.mktemp("bin")
    for name, entry in entries().items():
        module, _, main = entry.partition(":")
        (folder / name).write_text(f"#!{sys.executable}\nfrom {module} import {main}\n{main}()\n")
        (folder / name).chmod(0o755)
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("path", RUNNING, ids=named)
def test_the_blocks_of_a_page_run_as_they_stand(path: Path, prepared: Path, programs: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    shutil.copytree(prepared, place)
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env = {
        **kept,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name in ("REGAD_MODEL", "XDG_CACHE_HOME"):
        env.pop(name, None)
    for block in (one for one in blocks(text_of(path)) if one.runs):
        status, output = ran(block, place, env)
        if status != 0:
            pytest.fail(
                f"{named(path)}:{block.line}: ended with {status}\n{block.text}\n{output[-4000:]}", pytrace=False
            )


def ran(block: Block, folder: Path, env: dict[str, str]) -> tuple[int | str, str]:
    """Status and output of a block, run in a session of its own; whatever it leaves running is ended."""
    words = ["bash", "-e", "-c", block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    output = folder.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            status: int | str = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            status = f"no end within {PATIENCE_S} s"
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status, output.read_text(errors="replace")


SPOILED = """# Title

```
no language
```

<!-- run -->
```cpp
int main() {}
```

```sh
true
```
<!-- tested: tests/none.py -->
```python
```

    indented

1. An item

        indented in it

See [a page](gone.md#nowhere), `[not](a-link)` and ## A `heading`, twice.

## A `heading`, twice
## A `heading`, twice
"""


def test_what_is_wrong_with_a_page_is_found() -> None:
    """The rules above would pass on anything if their reader saw nothing."""
    found = [(block.line, fault.split(" on the line")[0]) for block in blocks(SPOILED) for fault in block_faults(block)]
    assert [line for line, _ in found] == [3, 8, 12, 16]
    assert [fault[:24] for _, fault in found] == [
        "a block needs a language",
        "only sh and python block",
        "a ```sh block needs one ",
        "it names tests/none.py, ",
    ]
    assert indented(SPOILED) == [19, 23]
    assert links(SPOILED) == [(25, "gone.md#nowhere")]
    assert anchors(SPOILED) == {"title", "a-heading-twice", "a-heading-twice-1"}
    with pytest.raises(ValueError, match="line 2: this fence is never closed"):
        blocks("x\n```sh\n")


def test_commands_in_blocks_and_code_spans_are_found() -> None:
    text = (
        "Use `regad-run --limit 1` and `regad-station init | run`, not regad-run --no; `regad-station.service`.\n"
        "```sh\nREGAD_MODEL=m regad-calib --support good/ \\\n  --out=x && regad-station check a.toml # --no\n```\n"
    )
    assert [tuple(mention[1:]) for mention in mentions(text)] == [
        ("regad-calib", [], ["--support", "--out"]),
        ("regad-station", ["check"], []),
        ("regad-run", [], ["--limit"]),
        ("regad-station", ["init"], []),
    ]
