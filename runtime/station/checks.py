"""What ``regad-station check`` looks at: everything that a run needs, and the remedy for what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from ..backends.table import AUTO, find_device
from ..commands.checks import Finding
from ..errors import DeviceError, InputError, RegadError
from ..formats.artifact import Artifact
from ..formats.category import load_category
from ..formats.digest import sha256_of
from ..sources.open import open_source
from ..text import redact, shown, system_reason
from .commands import bind_unix
from .config import CameraConfig, Config, DeskConfig
from .config_file import parse_config, read_document
from .configured import require_desk, specs_of
from .desk_access import bind_page, check_access
from .drawn import is_drawn, rate_of
from .gpio_lines import GpioLines
from .installed import Installed
from .job_spec import JobSpec, adjusted
from .listening import bind
from .mode_switch import starts_in
from .protocol_checks import examine_protocols

__all__ = ["examine"]

_PATIENCE = 15.0  # seconds for the camera's first frame
_LATE = ("rtsp", "http")  # sources whose frames arrive later than they were taken
_SANE_WALL = 1_767_225_600.0  # 2026-01-01: a clock that shows less was never set


def examine(path: Path, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Return what was found of the station that ``path`` describes. ``clock`` gives seconds since 1970."""
    try:
        config, faults = parse_config(read_document(path), path.absolute().parent)
    except RegadError as error:
        return [_problem("config", error)]
    if config is None:
        return [Finding("config", "problem", fault.text, f"correct {fault.key} in {shown(path)}") for fault in faults]
    found = [Finding("config", "ok", f"{shown(path)}: station {config.station.name}, mode {config.station.mode}")]
    if starts_in(config).value != config.station.mode:
        found.append(
            Finding("config", "note", "the station starts in shadow: somebody switched it to shadow at the page")
        )
    artifact = _artifact(config, found)
    found += _device(config, artifact)
    found += _jobs(config, artifact)
    found.append(_camera(config.camera, recordings=config.station.mode == "simulate"))
    found += _interfaces(config)
    found += examine_protocols(config)
    found += _trace(config)
    found.append(_wall_clock(clock()))
    return found


def _problem(topic: str, error: RegadError) -> Finding:
    """An error as a finding. Where it does not say its remedy apart, the part after its first semicolon is it."""
    message, remedy = error.message, error.remedy
    if not remedy:
        message, _, remedy = message.partition("; ")
    return Finding(topic, "problem", message, remedy or None)


def _artifact(config: Config, found: list[Finding]) -> Artifact | None:
    try:
        artifact = Artifact.open(config.model.path)
    except RegadError as error:
        found.append(_problem("artifact", error))
        return None
    found.append(Finding("artifact", "ok", f"{shown(artifact.path)} ({artifact.dtype}, {artifact.hash[:16]})"))
    return artifact


def _device(config: Config, artifact: Artifact | None) -> Iterator[Finding]:
    """The device that would judge: it is there, and it opens the artifact."""
    try:
        device = find_device(config.model.device)
        if device.present is not None and not device.is_present():
            raise DeviceError(f"model.device {device.name} is not on this machine", remedy=f"it needs {device.needs}")
        if artifact is not None:
            device.open(artifact, config.model.threads, config.model.precision).close()
    except RegadError as error:
        yield _problem("device", error)
        return
    chosen = " (auto)" if config.model.device == AUTO else ""
    opened = "" if artifact else ", not opened: there is no artifact"
    yield Finding("device", "ok", f"{device.name}{chosen}, {config.model.precision}{opened}")


def _jobs(config: Config, artifact: Artifact | None) -> Iterator[Finding]:
    """The job table as a run would use it: with the versions that were installed."""
    try:
        specs, notes = Installed(config.trace.folder).applied(specs_of(config))
        require_desk(config, specs)
    except RegadError as error:
        yield _problem("jobs", error)
        return
    for note in notes:
        yield Finding("jobs", "note", note)
    for spec in specs:
        yield _job(spec, artifact)


def _job(job: JobSpec, artifact: Artifact | None) -> Finding:
    """One job's category file: there, the pinned one, whole, and taught on this artifact."""
    topic = f"job {job.number}"
    try:
        digest = sha256_of(job.path)
    except OSError as error:
        text = f"category {shown(job.path)} cannot be read: {error.strerror}"
        return Finding(topic, "problem", text, f"regad-calib --support PHOTOS --out {shown(job.path)}")
    if digest != job.sha256:
        text = f"category {shown(job.path)} is not the pinned file: its sha256 is {digest}, not {job.sha256}"
        return Finding(topic, "problem", text, f'copy the right file, or accept this one: sha256 = "{digest}"')
    try:
        category = adjusted(load_category(job.path, artifact.hash if artifact else None), job)
    except RegadError as error:
        return _problem(topic, error)
    registers = ", registers the part" if category.registration is not None else ""
    threshold = category.threshold.value
    return Finding(topic, "ok", f"{shown(job.name)}: {shown(job.path)}, threshold {threshold:.3f}{registers}")


def _camera(camera: CameraConfig, *, recordings: bool) -> Finding:
    """The camera gives a frame; a recording takes its place only where the station simulates."""
    uri = redact(shown(camera.source))
    if is_drawn(camera.source):
        return Finding("camera", "ok", f"{uri}: drawn parts, {rate_of(camera.source):g} a second")
    try:
        with open_source(camera.uri()) as source:
            timer = threading.Timer(_PATIENCE, source.stop)
            timer.daemon = True
            timer.start()
            frame = next(source, None)
            timer.cancel()
            live = source.live
    except RegadError as error:
        return _problem("camera", error)
    if frame is None or frame.image is None:
        why = f"no frame in {_PATIENCE:.0f} s" if frame is None else frame.error
        return Finding("camera", "problem", f"{uri}: {why}", "check cable, power and light; try regad-run --source")
    if not (live or recordings):
        remedy = 'name a camera, or set station.mode = "simulate"'
        return Finding("camera", "problem", f"{uri} is a recording: a line needs a camera", remedy)
    height, width = frame.image.shape[:2]
    if live and camera.settle_ms == 0 and camera.source.startswith(_LATE):
        text = f"{uri}: {width} x {height}; a stream shows what was a while ago, and settle_ms is 0"
        return Finding("camera", "note", text, "set camera.settle_ms to one frame time plus the stream's latency")
    return Finding("camera", "ok", f"{uri}: {width} x {height}")


def _interfaces(config: Config) -> Iterator[Finding]:
    """The Modbus port, the command socket, and the desk's program."""
    if config.modbus is not None:
        try:
            bind(config.modbus.host, config.modbus.port).close()
        except RegadError as error:
            yield _problem("modbus", error)
        else:
            peers = ", ".join(config.modbus.allow) or "nobody"
            yield Finding("modbus", "ok", f"{config.modbus.host} port {config.modbus.port}, for {peers}")
    if config.gpio is not None:
        try:
            GpioLines(config.gpio).close()
        except RegadError as error:
            yield _problem("gpio", error)
        else:
            counts = f"{len(config.gpio.outputs)} outputs, {len(config.gpio.inputs)} inputs"
            yield Finding("gpio", "ok", f"{config.gpio.chip}: {counts}")
    path = config.commands.socket
    try:
        bind_unix(path).close()
        path.unlink(missing_ok=True)
    except RegadError as error:
        yield _problem("commands", error)
    else:
        yield Finding("commands", "ok", shown(path))
    if config.desk is not None and not config.desk.command:
        yield _page(config.desk)
    if config.desk is not None and config.desk.command and shutil.which(config.desk.command[0]) is None:
        text = f"desk.command: the program {shown(config.desk.command[0])} is not found"
        yield Finding("desk", "problem", text, "give its whole path, or leave [desk] out")


def _page(desk: DeskConfig) -> Finding:
    """The page may listen where desk.host says, and its port is free."""
    try:
        if find_spec("starlette") is None or find_spec("uvicorn") is None:
            raise InputError("the page needs starlette and uvicorn", remedy="pip install 'regad[cpu,station]'")
        check_access(desk)
        bind_page(desk.host, desk.port).close()
    except RegadError as error:
        return _problem("desk", error)
    way = "TLS" if desk.tls else "behind a proxy" if desk.behind_proxy else "this machine only"
    if not desk.loopback and desk.insecure_lan and not desk.tls:
        text = f"{desk.host} port {desk.port}: passwords and pictures can be read on the network"
        return Finding("desk", "note", text, "give desk.tls_cert and desk.tls_key")
    return Finding("desk", "ok", f"{desk.host} port {desk.port}, {way}")


def _trace(config: Config) -> Iterator[Finding]:
    """The trace's folder can be written, and its disk has room."""
    folder = config.trace.folder
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:  # a name too long, or a folder that this user may not enter
        text = f"trace.folder {shown(folder)} cannot be read: {system_reason(error)}"
        yield Finding(
            "trace", "problem", text, "name another trace.folder, or run it as the user who may read this one"
        )
        return
    if not there.is_dir():
        yield Finding("trace", "problem", f"{shown(there)} is a file", f"move it away: mv {shown(there)} /tmp/")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        text = f"the folder {shown(there)} cannot be written by this user"
        yield Finding("trace", "problem", text, f"sudo chown $USER {shown(there)}")
        return
    free = shutil.disk_usage(there).free / 1e9
    if free < config.trace.min_free_gb:
        text = f"{shown(folder)}: {free:.1f} GB are free; trace.min_free_gb is {config.trace.min_free_gb:g}"
        yield Finding("trace", "problem", text, "free some space, name another trace.folder, or lower min_free_gb")
        return
    yield Finding("trace", "ok", f"{shown(folder)}: {free:.1f} GB free")


def _wall_clock(now: float) -> Finding:
    """The wall clock was set. Nothing but the times in the trace depends on it."""
    shows = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
    if now < _SANE_WALL:
        return Finding(
            "clock", "problem", f"the clock shows {shows} UTC: it was never set", "sudo timedatectl set-ntp on"
        )
    synchronised = _synchronised()
    if synchronised is False:
        return Finding("clock", "note", f"{shows} UTC, not synchronised", "sudo timedatectl set-ntp on")
    return Finding("clock", "ok", f"{shows} UTC{', synchronised' if synchronised else ''}")


def _synchronised() -> bool | None:
    """Whether the system says that its clock is synchronised; None where it does not say."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())
