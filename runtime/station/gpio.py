"""Digital inputs and outputs: the process image as levels, edges as triggers.

PASS is energised only while the image says so, has been renewed in the last half second, and no trigger came since. An
edge takes VALID, PASS and READY away at once, before the I/O thread has seen it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import RegadError
from ..text import reason_of
from .codes import Status, TriggerKind
from .config_gpio import GpioConfig
from .events import Event, JobWanted, Reset, Trigger
from .gpio_lines import Edge, GpioLines, Pin
from .image import ProcessImage
from .registers import STALE_NS
from .worker import Clock, Failed, Worker

__all__ = ["Gpio", "GpioOutputs", "GpioThread", "levels"]

_MS = 1_000_000


def levels(image: ProcessImage, *, silent: bool = False, superseded: bool = False) -> dict[str, bool]:
    """Return what each output says of an image, by its name in `GpioConfig.outputs`.

    Of a ``silent`` one only BUSY is left; of one that a later trigger has ``superseded`` neither the result nor READY.
    There is no line that says that pictures are simulated, so no part passes on them.
    """
    status = image.status
    known = not silent and not superseded
    return {
        "ready": known and Status.READY in status,
        "busy": Status.BUSY in status,
        "valid": known and Status.VALID in status,
        "passed": known and image.passes and Status.SIMULATED not in status,
        "healthy": not silent and Status.ONLINE in status,
    }


class GpioOutputs:
    """Puts images out as levels. Any thread may call any method; a change of several lines is one moment.

    A chip that fails is reported in ``failure``, and nothing is raised: the I/O thread goes on.
    """

    def __init__(self, config: GpioConfig, lines: GpioLines, clock: Clock = time.monotonic_ns) -> None:
        self._pins = config.outputs
        self._lines = lines
        self._clock = clock
        self._lock = threading.Lock()
        self._image = ProcessImage()
        self._last_edge = 0
        self._driven: dict[Pin, bool] = dict.fromkeys(self._pins.values(), False)
        self._closed = False
        self.failure = ""

    def publish(self, image: ProcessImage) -> None:
        """Put out ``image`` from now on."""
        with self._lock:
            self._image = image
            self._drive()

    def supersede(self, edge: int) -> None:
        """A trigger has come, the ``edge``th: what is shown is not of its part, until an image knows of it."""
        with self._lock:
            self._last_edge = edge
            self._drive()

    def look(self) -> None:
        """Take back what nobody has stood by for too long."""
        with self._lock:
            self._drive()

    def close(self) -> None:
        """Let every output fall."""
        with self._lock:
            self._image = ProcessImage()
            self._drive()
            self._closed = True

    def _drive(self) -> None:
        if self._closed:
            return
        image = self._image
        stale = self._clock() - image.at_ns > STALE_NS
        said = levels(image, silent=stale, superseded=image.edges < self._last_edge)
        wanted = {pin: said[name] for name, pin in self._pins.items()}
        if wanted == self._driven and not self.failure:
            return
        try:
            self._lines.drive(wanted)
            self._driven, self.failure = wanted, ""
        except RegadError as error:
            self.failure = str(error)


class GpioThread(Worker):
    """Waits for edges and tells the machine: a trigger with the kernel's time, a reset, another job.

    Edges of the trigger that the kernel had to drop are told too: each was a part, and is MISSED. A chip that fails is
    told in ``failure``, and asked again.
    """

    def __init__(
        self,
        config: GpioConfig,
        lines: GpioLines,
        outputs: GpioOutputs,
        post: Callable[[Event], None],
        failed: Failed,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        super().__init__("gpio", clock, failed)
        self._config = config
        self._lines = lines
        self._outputs = outputs
        self._post = post
        self._edges = self._seen = 0
        self._job = 0
        self._job_due_ns: int | None = clock()  # what the lines say at the start counts too
        self._pause = threading.Event()
        self.failure = ""

    def step(self, timeout: float) -> None:
        """Handle the edges that come, and what has fallen due."""
        try:
            self._read(timeout)
            self.failure = ""
        except Exception as error:  # gpiod has errors of its own kind: each is fault 50
            self.failure = str(error) if isinstance(error, RegadError) else reason_of(error)
            self._pause.wait(timeout)
        self._outputs.look()

    def _read(self, timeout: float) -> None:
        if self._lines.reads:
            for edge in self._lines.edges(timeout):
                self._take(edge)
        else:
            self._pause.wait(timeout)
        if self._config.job and self._job_due_ns is not None and self.clock() >= self._job_due_ns:
            self._select(self._lines.level(self._config.job))
            self._job_due_ns = None

    def _take(self, edge: Edge) -> None:
        at_ns = min(edge.at_ns, self.clock())
        if edge.pin == self._config.trigger:
            for _ in range(max(1, edge.number - self._seen)):
                self._edges += 1
                self._outputs.supersede(self._edges)
                self._post(Trigger(TriggerKind.GPIO, at_ns, edge=self._edges))
            self._seen = edge.number
        elif edge.pin == self._config.reset:
            self._post(Reset())
        else:
            self._job_due_ns = at_ns + self._config.job_settle_ms * _MS

    def _select(self, number: int) -> None:
        """Change to the job that the lines show; 0 changes nothing."""
        if number not in (0, self._job):
            self._post(JobWanted(number))
        self._job = number

    def _wake(self) -> None:
        self._pause.set()


class Gpio:
    """The digital inputs and outputs of a line, from `start` to `close`. Raises DeviceError."""

    def __init__(
        self, config: GpioConfig, post: Callable[[Event], None], failed: Failed, clock: Clock = time.monotonic_ns
    ) -> None:
        self._lines = GpioLines(config)
        self._outputs = GpioOutputs(config, self._lines, clock)
        self.thread = GpioThread(config, self._lines, self._outputs, post, failed, clock)
        self.publish = self._outputs.publish
        self.start = self.thread.start

    @property
    def failure(self) -> str:
        """Why the chip does not do what it should; "" where it does."""
        return self._outputs.failure or self.thread.failure

    def close(self) -> None:
        """Let every output fall, and release the lines."""
        self.thread.stop()
        self._outputs.close()
        self._lines.close()
