"""The lines of a GPIO chip through gpiod: outputs that change together, inputs whose edges carry the kernel's time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, NamedTuple

from ..errors import DeviceError
from ..text import reason_of, shown
from .config_gpio import GpioConfig

__all__ = ["Edge", "GpioLines", "Pin"]

Pin = int | str
_CONSUMER = "regad-station"
_EVENTS = 256  # edges that the kernel keeps until they are read


class Edge(NamedTuple):
    """A change of an input: ``rising`` is to its active level, ``at_ns`` the kernel's monotonic time.

    ``number`` counts the edges of this line from 1: a gap says that the kernel had to drop some.
    """

    pin: Pin
    rising: bool
    at_ns: int
    number: int


class GpioLines:
    """The lines of a configuration, requested: outputs begin low. Raises DeviceError, also later in each method."""

    def __init__(self, config: GpioConfig) -> None:
        try:
            import gpiod
            from gpiod import line
        except ImportError:
            raise DeviceError(
                "[gpio] needs gpiod, which is not installed", remedy="pip install 'regad[gpio]'"
            ) from None
        self._chip = config.chip
        self._line = line
        self._failures = (OSError, ValueError)
        with ExitStack() as stack:
            self._outputs = self._request(gpiod, stack, self._output_settings(gpiod, config))
            self._inputs = self._request(gpiod, stack, self._input_settings(gpiod, config))
            self._stack = stack.pop_all()
        requested = self._inputs
        self._pins: dict[int, Pin] = {}
        if requested is not None:
            self._pins = dict(zip(requested.offsets, requested.lines, strict=True))

    def _output_settings(self, gpiod: Any, config: GpioConfig) -> dict[Any, Any]:
        low = gpiod.LineSettings(direction=self._line.Direction.OUTPUT, output_value=self._line.Value.INACTIVE)
        return dict.fromkeys(config.outputs.values(), low)

    def _input_settings(self, gpiod: Any, config: GpioConfig) -> dict[Any, Any]:
        bias = getattr(self._line.Bias, config.bias.replace("-", "_").upper())

        def settings(edge: Any) -> Any:
            return gpiod.LineSettings(
                direction=self._line.Direction.INPUT,
                edge_detection=edge,
                bias=bias,
                active_low=config.inputs_active_low,
                debounce_period=timedelta(milliseconds=config.debounce_ms),
                event_clock=self._line.Clock.MONOTONIC,
            )

        single = [pin for pin in (config.trigger, config.reset) if pin is not None]
        rising, both = self._line.Edge.RISING, self._line.Edge.BOTH
        return {**{pin: settings(rising) for pin in single}, **{pin: settings(both) for pin in config.job}}

    def _request(self, gpiod: Any, stack: ExitStack, config: dict[Any, Any]) -> Any:
        """Request some lines, if there are any."""
        if not config:
            return None
        try:
            made = gpiod.request_lines(self._chip, config, consumer=_CONSUMER, event_buffer_size=_EVENTS)
        except self._failures as error:
            lines = ", ".join(map(str, config))
            raise DeviceError(
                f"lines {shown(lines)} of {shown(self._chip)} cannot be used ({reason_of(error)})",
                remedy="gpioinfo lists chips and lines, and who holds them; access: sudo usermod -aG gpio $USER",
            ) from error
        stack.callback(made.release)
        return made

    def drive(self, values: Mapping[Pin, bool]) -> None:
        """Set outputs, all at one moment."""
        on, off = self._line.Value.ACTIVE, self._line.Value.INACTIVE
        if self._outputs is not None and values:
            try:
                self._outputs.set_values({pin: on if value else off for pin, value in values.items()})
            except self._failures as error:
                raise self._failed(error) from error

    def level(self, pins: tuple[Pin, ...]) -> int:
        """The number that inputs show, the first the lowest bit."""
        try:
            values = self._inputs.get_values(list(pins)) if pins else []
        except self._failures as error:
            raise self._failed(error) from error
        return sum((value is self._line.Value.ACTIVE) << bit for bit, value in enumerate(values))

    def edges(self, timeout: float) -> list[Edge]:
        """Wait up to ``timeout`` seconds for edges of inputs and return them in their order."""
        if self._inputs is None:
            return []
        try:
            found = self._inputs.read_edge_events() if self._inputs.wait_edge_events(timeout) else []
        except self._failures as error:
            raise self._failed(error) from error
        return [
            Edge(
                self._pins[event.line_offset],
                event.event_type is event.Type.RISING_EDGE,
                event.timestamp_ns,
                event.line_seqno,
            )
            for event in found
        ]

    @property
    def reads(self) -> bool:
        """Whether there is any input."""
        return self._inputs is not None

    def close(self) -> None:
        """Release the lines. What an output then shows is for the hardware to say: pull it down."""
        self._stack.close()

    def _failed(self, error: Exception) -> DeviceError:
        return DeviceError(
            f"{shown(self._chip)} has failed ({reason_of(error)})", remedy="see dmesg, then restart the station"
        )
