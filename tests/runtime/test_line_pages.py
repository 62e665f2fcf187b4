"""What the pages for a line's integrator say to type: every command is understood, every key and table is taken."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from regad.calib.cli import command as calib
from regad.export.cli import command as export
from regad.runtime.commands.doctor import command as doctor
from regad.runtime.commands.run import command as run
from regad.runtime.station.cli import command as station
from regad.runtime.station.config import Config
from regad.runtime.station.config_file import parse_config

from .doc_tables import blocks_of, commands_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("station", "registers", "desk", "learning", "protocols", "embedding", "jetson")
PROGRAMS: dict[str, click.Command] = {
    **{"regad-station": station, "regad-calib": calib, "regad-export": export},
    **{"regad-doctor": doctor, "regad-run": run},
}
LEAST: dict[str, Any] = {
    "model": {"path": "model.regad"},
    "camera": {"source": "camera:0"},
    "desk": {},
}
JOB = {"number": 1, "name": "part", "category": "part.safetensors", "sha256": "0" * 64}


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_understood(page: str) -> None:
    for name, program in PROGRAMS.items():
        for line in commands_of(text_of(page), name):
            words = shlex.split(line, comments=True)
            chosen = program.commands[words.pop(0)] if isinstance(program, click.Group) else program
            chosen.make_context(name, words)


@pytest.mark.parametrize("page", PAGES)
def test_every_table_of_a_page_is_one_that_a_station_takes(page: str) -> None:
    for block in blocks_of(text_of(page), "toml"):
        told = tomllib.loads(block)
        jobs = [{**JOB, **job} for job in told.pop("job", [{}])]
        _, faults = parse_config({**LEAST, **told, "job": jobs}, Path("/s"))
        assert not faults, block


@pytest.mark.parametrize("page", PAGES)
def test_every_key_that_a_page_names_is_one_of_the_configuration(page: str) -> None:
    tables = "|".join(field for field in Config.__struct_encode_fields__ if field != "job")
    for name, key in re.findall(rf"`({tables})\.([a-z_]+)\b", text_of(page)):
        if (name, key) not in (("model", "regad"), ("station", "toml"), ("station", "sock"), ("trace", "db")):
            told = [{key: None}] if name == "webhook" else {key: None}
            _, faults = parse_config({name: told}, Path("/s"))
            assert not any("is not known" in fault.text for fault in faults), f"{name}.{key}"
