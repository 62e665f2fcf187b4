"""What the tables of ``station.toml`` are made of: a table, and kinds of value with what is allowed in words."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

__all__ = [
    "Connections",
    "Count",
    "Days",
    "Gigabytes",
    "Hours",
    "Limit",
    "Megabytes",
    "Millis",
    "MillisOrNone",
    "Name",
    "Number",
    "Percent",
    "Port",
    "Sha256",
    "Table",
    "Text",
    "Threads",
    "Title",
    "Unit",
]

Name = Annotated[
    str, Meta(pattern=r"^[\w.-]{1,64}$", description="1 to 64 letters, digits, dots, dashes and underscores")
]
Text = Annotated[str, Meta(min_length=1, max_length=4096, description="text, not empty")]
Title = Annotated[str, Meta(min_length=1, max_length=200, description="text of 1 to 200 characters")]
Sha256 = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", description="the 64 hexadecimal digits that sha256sum FILE prints")
]
Millis = Annotated[int, Meta(ge=1, le=600_000, description="a whole number of milliseconds from 1 to 600000")]
MillisOrNone = Annotated[int, Meta(ge=0, le=600_000, description="a whole number of milliseconds up to 600000, or 0")]
Count = Annotated[int, Meta(ge=0, le=10_000, description="a whole number from 0 to 10000")]
Threads = Annotated[int, Meta(ge=1, le=1024, description="a whole number from 1 to 1024")]
Port = Annotated[int, Meta(ge=0, le=65_535, description="a port from 1 to 65535 (0: any free one)")]
Unit = Annotated[int, Meta(ge=0, le=255, description="a unit identifier from 1 to 255, or 0 for every one")]
Connections = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
Number = Annotated[int, Meta(ge=1, le=65_535, description="a job number from 1 to 65535")]
Limit = Annotated[float, Meta(gt=0, le=1e30, description="a number above 0")]
Gigabytes = Annotated[float, Meta(ge=0, le=1e6, description="gigabytes from 0 to 1000000")]
Megabytes = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number of megabytes from 1 to 1000000")]
Hours = Annotated[float, Meta(ge=0.1, le=10_000, description="hours from 0.1 to 10000")]
Days = Annotated[int, Meta(ge=1, le=100_000, description="a whole number of days, 1 or more")]
Percent = Annotated[float, Meta(ge=0, le=100, description="a number from 0 to 100")]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A field that is wrong raises InputError beginning with the field's name."""
