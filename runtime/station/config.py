"""The configuration of a station: the tables of ``station.toml`` as structs. `config_file` reads them from the file.

Times are in milliseconds, sizes in gigabytes (1e9 bytes). Paths are absolute once they were read. A struct that is made
in Python is checked where its fields depend on each other; the ranges of single fields are checked as the file is read.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import field

from ..backends.base import Precision
from ..errors import DeviceError, InputError
from ..text import redact
from .config_desk import DeskConfig
from .config_gpio import GpioConfig
from .config_job import JobConfig
from .config_protocols import MetricsConfig, MqttConfig, OpcuaConfig, WebhookConfig
from .config_types import (
    Connections,
    Count,
    Days,
    Gigabytes,
    Megabytes,
    Millis,
    MillisOrNone,
    Name,
    Number,
    Percent,
    Port,
    Table,
    Text,
    Threads,
    Unit,
)
from .drawn import is_drawn, rate_of
from .secret import PLACEHOLDER, Secret

if TYPE_CHECKING:
    from ..model import Model

__all__ = [
    "CameraConfig",
    "CommandsConfig",
    "Config",
    "DeskConfig",
    "JobConfig",
    "ModbusConfig",
    "ModelConfig",
    "StationConfig",
    "TraceConfig",
    "TriggerConfig",
]

_SOCKET_NAME = 107  # bytes; what the kernel takes as the name of a Unix socket
_ASIDE = 12  # bytes by which the name under which the socket is made is longer than its folder's (`bind_unix`)


class StationConfig(Table, frozen=True):
    """Who the station is and how it starts.

    In mode ``shadow`` it judges and records, and puts out no verdict; in ``live`` the verdicts are put out; in
    ``simulate`` every record says that it was simulated. ``job`` is in force from the start on; without one the station
    waits until a job is set. With ``autostart`` it becomes ready by itself, else after the command ``start``.
    """

    name: Name = "station"
    mode: Literal["shadow", "live", "simulate"] = "shadow"
    autostart: bool = False
    job: Number | None = None


class ModelConfig(Table, frozen=True):
    """The artifact, the device it runs on, and the CPU threads of one inference (None: the physical cores).

    ``precision`` is what the device computes in where the artifact says float32: below f32 for openvino alone, and
    refused where the hardware would only emulate it.

    Above ``jobs_mb`` of statistics the jobs that were used least lately are let go from memory, and read again when
    they are set (None: all stay).
    """

    path: Path
    device: str = "auto"
    precision: Precision = "f32"
    threads: Threads | None = None
    jobs_mb: Megabytes | None = None

    def __post_init__(self) -> None:
        from ..backends.table import DEVICE_CHOICES, require_precision

        if self.device not in DEVICE_CHOICES:
            raise InputError(f"device is {self.device!r}; expected one of {', '.join(DEVICE_CHOICES)}")
        try:
            require_precision(self.device, self.precision)
        except DeviceError as error:
            raise InputError(error.message, remedy=error.remedy) from error

    def open(self, threads: int | None = None) -> Model:
        """Open the artifact, with ``threads`` in place of its own. Raises ArtifactError, DeviceError."""
        from ..model import Model

        return Model.load(self.path, self.device, threads or self.threads, self.precision)


class CameraConfig(Table, frozen=True):
    """Where the pictures come from.

    ``source`` is what ``regad-run --source`` takes; `uri` is it with the secret in place of ``{secret}``. No frame for
    ``max_age_ms`` is a dead camera, which is opened again every ``reopen_ms``. A frame belongs to a trigger if it was
    taken ``settle_ms`` or more after it. So many equal frames in a row as ``frozen_frames`` are a frozen camera (0: not
    watched).
    """

    source: Text
    secret: Secret | None = None
    max_age_ms: Millis = 2000
    reopen_ms: Millis = 2000
    settle_ms: MillisOrNone = 0
    frozen_frames: Count = 3

    def __post_init__(self) -> None:
        if _holds_secret(self.source):
            raise InputError(
                f"source is {redact(self.source)!r}, with a password in the file; expected {PLACEHOLDER} in its place "
                'and secret = { file = "camera.password" } or secret = { env = "CAMERA_PASSWORD" }'
            )
        if (PLACEHOLDER in self.source) != (self.secret is not None):
            missing = "secret" if self.secret is None else f"{PLACEHOLDER} in source"
            raise InputError(f"source and secret go together; expected {missing} too")

    def uri(self) -> str:
        """Return the source with its secret. Raises InputError where the secret cannot be read."""
        return self.source if self.secret is None else self.secret.fill(self.source)


class TriggerConfig(Table, frozen=True):
    """What asks for a verdict, and by when.

    ``command``: the command socket; ``modbus``: the PLC; ``gpio``: a digital input; ``free``: every frame.
    A verdict later than ``deadline_ms``
    after its trigger is LATE. A result stands until it is acknowledged, the next trigger, or ``hold_ms`` (0: no such
    end). A part between warn and reject limit is put out as ``review_is`` says. After ``stop_after_rejects`` parts in a
    row that did not pass, STOP_REQUEST asks the PLC to stop (0: never).
    """

    kind: Literal["command", "modbus", "gpio", "free"] = "command"
    deadline_ms: Millis = 1000
    hold_ms: MillisOrNone = 500
    review_is: Literal["reject", "pass"] = "reject"
    stop_after_rejects: Count = 0


class ModbusConfig(Table, frozen=True):
    """The Modbus TCP server for a PLC.

    Only peers of ``allow`` (addresses or networks) are answered, at most ``max_connections`` at once. ``unit`` is the
    identifier it answers to (0: all). With ``control`` false the words that a PLC writes are refused. Whoever writes
    first is the one writer until it disconnects or has not written for ``writer_silence_ms``. ``heartbeat_ms`` without
    a change of the PLC's heartbeat word and the link counts as lost (0: not watched).
    """

    host: Text = "127.0.0.1"
    port: Port = 1502
    allow: tuple[Text, ...] = ("127.0.0.1", "::1")
    unit: Unit = 0
    control: bool = True
    max_connections: Connections = 64
    writer_silence_ms: Millis = 5000
    heartbeat_ms: MillisOrNone = 2000

    def __post_init__(self) -> None:
        self.networks()

    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the peers that may connect. Raises InputError."""
        try:
            return [ipaddress.ip_network(peer) for peer in self.allow]
        except ValueError as error:
            raise InputError(
                f"allow is wrong ({error}); expected addresses like '192.168.0.10' or networks like '192.168.0.0/24'"
            ) from None


class CommandsConfig(Table, frozen=True):
    """The command socket: a Unix socket that only the station's own user may use."""

    socket: Path = Path("station.sock")

    def __post_init__(self) -> None:
        size, folder = (len(str(path).encode("utf-8", "surrogateescape")) for path in (self.socket, self.socket.parent))
        if size > _SOCKET_NAME or folder + _ASIDE > _SOCKET_NAME:
            raise InputError(
                f"socket is {str(self.socket)!r}, {size} bytes, {folder} of its folder; expected at most "
                f"{_SOCKET_NAME} (the kernel's limit), {_SOCKET_NAME - _ASIDE} of its folder, "
                "like /run/regad-station/station.sock"
            )


class TraceConfig(Table, frozen=True):
    """The record of every part.

    With ``before_result`` a verdict is put out once its row is on the disk, and those of its pictures that are not left
    out for want of room. Below ``min_free_gb`` of free disk,
    above ``max_gb`` of its own files, or after ``keep_days``, the oldest pictures go; what was labelled or taught
    stays. ``full`` says which full pictures are kept, ``full_goods_percent`` how many of good parts in any case. With
    ``on_disk_full`` ``ring`` the station goes on with its newest records in memory; with ``stop`` it is not ready.
    """

    folder: Path = Path("trace")
    before_result: bool = False
    min_free_gb: Gigabytes = 2.0
    max_gb: Gigabytes | None = None
    keep_days: Days | None = None
    full: Literal["none", "reject", "all"] = "reject"
    full_goods_percent: Percent = 1.0
    on_disk_full: Literal["ring", "stop"] = "ring"


class Config(Table, frozen=True):
    """A whole station."""

    model: ModelConfig
    camera: CameraConfig
    jobs: tuple[JobConfig, ...] = field(name="job")
    station: StationConfig = StationConfig()
    trigger: TriggerConfig = TriggerConfig()
    modbus: ModbusConfig | None = None
    commands: CommandsConfig = field(default_factory=CommandsConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    desk: DeskConfig | None = None
    mqtt: MqttConfig | None = None
    webhooks: tuple[WebhookConfig, ...] = field(default=(), name="webhook")
    metrics: MetricsConfig | None = None
    opcua: OpcuaConfig | None = None
    gpio: GpioConfig | None = None

    def __post_init__(self) -> None:
        numbers = [job.number for job in self.jobs]
        if not numbers:
            raise InputError("job is empty; expected at least one [[job]] with number, name, category and sha256")
        for number in numbers:
            if numbers.count(number) > 1:
                raise InputError(f"job.number {number} is given {numbers.count(number)} times; expected each once")
        if self.station.job is not None and self.station.job not in numbers:
            listed = ", ".join(map(str, sorted(numbers)))
            raise InputError(f"station.job is {self.station.job}; expected the number of a [[job]]: {listed}")
        if is_drawn(self.camera.source):
            _check_drawn(self)
        for job in self.jobs:
            if job.challenged and self.desk is None:
                raise InputError(
                    f"job {job.number} asks for challenges, which are done at the page; expected a table [desk] too"
                )
        if self.trigger.kind == "modbus" and (self.modbus is None or not self.modbus.control):
            raise InputError("trigger.kind is 'modbus'; expected a table [modbus] without control = false beside it")
        if self.desk is None and (self.mqtt or self.webhooks or self.metrics or self.opcua):
            raise InputError("desk is missing; mqtt, webhook, metrics and opcua need it: expected a table [desk]")
        names = [hook.name for hook in self.webhooks]
        if len({*names}) < len(names):
            raise InputError(f"webhook.name is given twice: {', '.join(names)}; expected each name once")
        if (self.trigger.kind == "gpio") != (self.gpio is not None and self.gpio.trigger is not None):
            raise InputError("trigger.kind = 'gpio' and a line gpio.trigger go together; expected both or neither")


def _check_drawn(config: Config) -> None:
    """Drawn parts are for trying: nothing may pass on them, and they trigger by themselves."""
    if config.station.mode != "simulate":
        raise InputError(f'camera.source is {config.camera.source!r}; expected station.mode = "simulate" beside it')
    if config.trigger.kind != "command":
        raise InputError(f'camera.source is {config.camera.source!r}; expected trigger.kind = "command" beside it')
    rate_of(config.camera.source)


_FILLED = (
    re.compile(r"(?<=//)[^/@\s:]*:" + re.escape(PLACEHOLDER) + "@"),
    re.compile(r"[\w-]+=[\"']?" + re.escape(PLACEHOLDER) + "[\"']?"),
    re.compile(r"\buser(?:name|-id)?=[\w.-]+"),
)


def _holds_secret(source: str) -> bool:
    """Whether a source has a password, token or key in it, other than the placeholder; a user's name is none."""
    for pattern in _FILLED:
        source = pattern.sub("", source)
    return redact(source) != source
