"""The table of ``station.toml`` for digital inputs and outputs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from ..errors import InputError
from .config_types import Millis, MillisOrNone, Table, Text

__all__ = ["GpioConfig"]

Pin = Annotated[int, Meta(ge=0, le=65_535, description="a line's number on the chip")] | Text
"""A line of a chip: its number, or its name, as gpioinfo lists them."""


class GpioConfig(Table, frozen=True):
    """Lines of one GPIO ``chip``. Each output and input may be left out; ``job`` are up to four bits, the lowest first.

    An input that changes back within ``debounce_ms`` has not changed; the bits of ``job`` count once they have stood
    for ``job_settle_ms``. ``bias`` and ``inputs_active_low`` are of the inputs. Outputs are active high, always: a line
    that nobody drives must not say PASS.
    """

    chip: Text = "/dev/gpiochip0"
    ready: Pin | None = None
    busy: Pin | None = None
    valid: Pin | None = None
    passed: Pin | None = field(default=None, name="pass")
    healthy: Pin | None = None
    trigger: Pin | None = None
    reset: Pin | None = None
    job: tuple[Pin, ...] = ()
    debounce_ms: MillisOrNone = 1
    job_settle_ms: Millis = 50
    bias: Literal["as-is", "disabled", "pull-up", "pull-down"] = "as-is"
    inputs_active_low: bool = False

    def __post_init__(self) -> None:
        if len(self.job) > 4:
            raise InputError(f"job has {len(self.job)} lines; expected up to 4")
        given = [*self.outputs.values(), *self.inputs]
        if not given:
            raise InputError("gpio has no line; expected at least one, like pass = 17")
        twice = next((pin for pin in given if given.count(pin) > 1), None)
        if twice is not None:
            raise InputError(f"gpio line {twice!r} is given {given.count(twice)} times; expected each once")

    @property
    def outputs(self) -> dict[str, int | str]:
        """The lines that are driven, by what they say."""
        named = {name: getattr(self, name) for name in ("ready", "busy", "valid", "passed", "healthy")}
        return {name: pin for name, pin in named.items() if pin is not None}

    @property
    def inputs(self) -> list[int | str]:
        """The lines that are read: trigger and reset, as far as they are given, and job."""
        return [pin for pin in (self.trigger, self.reset, *self.job) if pin is not None]
