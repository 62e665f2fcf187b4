"""What a configuration means to the parts of the line: its tables become their settings."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .camera import CameraSettings
from .codes import Mode, TriggerKind
from .config import Config
from .job_spec import JobSpec
from .settings import Settings
from .trace.inspection import TracePolicy

__all__ = ["camera_settings", "desk_command", "policy_of", "require_desk", "settings_of", "specs_of"]

_MS = 1_000_000


def settings_of(config: Config) -> Settings:
    """Return the machine's settings of a configuration."""
    trigger, plc = config.trigger, config.modbus
    return Settings(
        mode=Mode(config.station.mode),
        kind=TriggerKind(trigger.kind),
        autostart=config.station.autostart,
        deadline_ns=trigger.deadline_ms * _MS,
        hold_ns=trigger.hold_ms * _MS or None,
        review_passes=trigger.review_is == "pass",
        plc_timeout_ns=plc.heartbeat_ms * _MS if plc is not None and plc.heartbeat_ms else None,
        give_up_ns=max(10_000, 2 * trigger.deadline_ms, 2 * config.camera.max_age_ms) * _MS,
        frozen=max(1, config.camera.frozen_frames - 1),
        record_first=config.trace.before_result,
        stop_after_rejects=trigger.stop_after_rejects,
    )


def camera_settings(config: Config, streams: bool) -> CameraSettings:
    """Return the camera thread's settings of a configuration."""
    camera = config.camera
    return CameraSettings(camera.max_age_ms * _MS, camera.reopen_ms * _MS, camera.settle_ms * _MS, streams)


def specs_of(config: Config) -> list[JobSpec]:
    """Return the job table of a configuration."""
    return [
        JobSpec(
            job.number,
            job.name,
            job.category,
            job.sha256,
            None if job.deadline_ms is None else job.deadline_ms * _MS,
            job.threshold,
            job.warn_threshold,
            config.trigger.review_is,
            challenge_at_start=job.challenge_at_start,
            challenge_every_h=job.challenge_every_h,
        )
        for job in config.jobs
    ]


def require_desk(config: Config, jobs: Iterable[JobSpec]) -> None:
    """Raise InputError where a job, also one that was added at the page, is to be challenged and nobody would ask."""
    for job in jobs:
        if job.challenged and config.desk is None:
            raise InputError(
                f"job {job.number} asks for challenges, which are done at the page; expected a table [desk] too"
            )


def policy_of(config: Config) -> TracePolicy:
    """Return the trace's policy of a configuration."""
    trace = config.trace
    return TracePolicy(
        full=trace.full,
        full_goods_percent=trace.full_goods_percent,
        min_free_gb=trace.min_free_gb,
        max_gb=trace.max_gb,
        keep_days=trace.keep_days,
        on_disk_full=trace.on_disk_full,
    )


def desk_command(config: Config, path: Path | None) -> tuple[str, ...]:
    """Return the words that start the DESK process, none for no desk; regad's own reads the configuration's file."""
    if config.desk is None or config.desk.command:
        return () if config.desk is None else config.desk.command
    return () if path is None else (sys.executable, "-m", "regad.runtime.desk", str(path.absolute()))
