"""The results of OPC 40100-1: the last parts as ResultDataType, and which of them a client asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import msgspec
from asyncua import ua

from ...station.config import Config
from ..jobs import job_named
from ..sinks.message import VerdictMessage

__all__ = ["KEPT", "Filter", "Results", "configuration_id", "recipe_id", "result_of"]

KEPT = 100
"""So many results are kept."""

_COMPLETED, _ABORTED, _FAILED = 1, 3, 4
_STATES = {"NOT_JUDGED": _FAILED, "MISSED": _ABORTED}

# The structures are made from the NodeSet as it is loaded, as attributes of `ua`: no checker knows them.
_types: Any = ua


def recipe_id(kind: str, number: int | None, config: Config, version: str | None = None) -> Any:
    """Return a job as RecipeIdExternalDataType or RecipeIdInternalDataType, the ``kind``."""
    job = None if number is None else job_named(config, number)
    return getattr(_types, kind)(
        Id="" if number is None else str(number),
        Version=version,
        Hash=None if job is None else bytes.fromhex(job.sha256),
        HashAlgorithm=None if job is None else "SHA256",
        Description=None if job is None else ua.LocalizedText(job.name),
    )


def configuration_id(config: Config) -> Any:
    """Return the station's configuration: there is one, named after the station."""
    return _types.ConfigurationIdDataType(Id=config.station.name)


def result_of(message: VerdictMessage, config: Config) -> Any:
    """Return a part as ResultDataType. Its content is the JSON message that MQTT and webhooks send."""
    end = _time(message.time)
    total = timedelta(milliseconds=message.ms_total or 0.0)
    return _types.ResultDataType(
        ResultId=_types.ResultIdDataType(message.key),
        HasTransferableDataOnFile=False,
        IsPartial=False,
        IsSimulated=message.simulated,
        ResultState=_STATES.get(message.verdict, _COMPLETED),
        PartId=_types.PartIdDataType(Id=message.serial or (str(message.part_id) if message.part_id else "")),
        ExternalRecipeId=recipe_id("RecipeIdExternalDataType", message.job, config),
        InternalRecipeId=recipe_id("RecipeIdInternalDataType", message.job, config, message.category),
        InternalConfigurationId=configuration_id(config),
        JobId=_types.JobIdDataType(f"{message.boot}-{message.seq}"),
        CreationTime=end,
        ProcessingTimes=_types.ProcessingTimesDataType(
            StartTime=end - total,
            EndTime=end,
            AcquisitionDuration=message.ms_acquire,
            ProcessingDuration=message.ms_judge,
        ),
        ResultContent=[ua.Variant(msgspec.json.encode(message).decode(), ua.VariantType.String)],
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else datetime.now(timezone.utc)


class Filter(NamedTuple):
    """What a client looks for; None, 0 and "" fit everything."""

    state: int | None = 0
    part: str | None = ""
    external: str | None = ""
    internal: str | None = ""
    job: str | None = ""

    def fits(self, result: Any) -> bool:
        """Whether a result is one of these."""
        wanted = (
            (self.state, result.ResultState),
            (self.part, result.PartId.Id),
            (self.external, result.ExternalRecipeId.Id),
            (self.internal, result.InternalRecipeId.Id),
            (self.job, result.JobId.Id),
        )
        return all(not one or one == other for one, other in wanted)


class Results:
    """The last `KEPT` results, the newest first."""

    def __init__(self) -> None:
        self._results: deque[Any] = deque(maxlen=KEPT)

    def add(self, result: Any) -> None:
        """Keep a result; the oldest one goes."""
        self._results.appendleft(result)

    def by_id(self, key: str) -> Any | None:
        """Return the result of that id, None for none."""
        return self._first(lambda one: bool(one.ResultId.Id == key))

    def by_job(self, job: str) -> Any | None:
        """Return the result of that job id, None for none."""
        return self._first(lambda one: bool(one.JobId.Id == job))

    def select(self, wanted: Filter, start: int, most: int) -> tuple[list[Any], bool]:
        """Return the results that fit from number ``start`` on, at most ``most`` (0: all), and whether that is all."""
        found = [one for one in self._results if wanted.fits(one)][max(start, 0) :]
        taken = found[:most] if most > 0 else found
        return taken, len(taken) == len(found)

    def _first(self, fits: Callable[[Any], bool]) -> Any | None:
        return next((one for one in self._results if fits(one)), None)
