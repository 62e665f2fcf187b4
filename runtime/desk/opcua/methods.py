"""The methods that a client may call: who may, what is asked of the station, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from asyncua import ua

from ...errors import InputError, RegadError
from ...station.config import Config
from ...station.users import ROLES, Role
from ...text import Say
from ..errors import LinkError
from ..jobs import jobs_of
from ..link import StationLink
from .access import CALLER, Caller
from .results import Filter, Results, recipe_id

__all__ = ["Method", "Methods", "guarded"]

OK, REFUSED = 0, -1
"""The output ``Error`` of every method: 0, or below 0 what is this server's own; the log says why."""
_Values = list[ua.Variant]
Handler = Callable[..., Awaitable[_Values]]
Tell = Callable[[str, str], Awaitable[None]]
Audit = Callable[..., None]


class Method(NamedTuple):
    """A method: what is answered where the station refuses (``Error`` left out), and who may call it, if it may be."""

    name: str
    outputs: _Values
    role: Role
    allowed: bool


def guarded(handler: Handler, method: Method, say: Say, tell: Tell) -> Callable[..., Any]:
    """Return what asyncua calls for a method: ``handler``, for callers who may.

    ``tell`` records who was refused a method that moves the station, and why.
    """

    async def call(parent: ua.NodeId, *arguments: ua.Variant) -> Any:
        caller = CALLER.get()
        if not method.allowed or caller is None or ROLES.index(caller.station_role) < ROLES.index(method.role):
            if method.role != "viewer" and caller is not None:
                await tell(method.name, "refused: not allowed")
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        try:
            return await handler(*(one.Value for one in arguments))
        except RegadError as error:
            say(f"opcua: {handler.__name__.strip('_')} was refused: {error}")
            if method.role != "viewer" and not isinstance(error, LinkError):  # what the line refused is recorded
                await tell(method.name, f"refused: {error}")
            return [*method.outputs, _error(REFUSED)]
        except (TypeError, AttributeError, ValueError):
            return ua.StatusCode(ua.StatusCodes.BadInvalidArgument)

    return call


async def unsupported(parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
    """Answer a method that the specification wants to be there and the station has nothing for."""
    return ua.StatusCode(ua.StatusCodes.BadNotSupported)


class Methods:
    """Every method by the path of its node below the vision system, as what asyncua calls."""

    def __init__(
        self,
        config: Config,
        link: StationLink,
        triggers: StationLink,
        results: Results,
        say: Say,
        audit: Audit,
    ) -> None:
        """``triggers`` is a link of its own: its answer comes with the verdict. ``audit`` records who did what."""
        self._config, self._link, self._triggers, self._results, self._say = config, link, triggers, results, say
        self._audit = audit
        self._triggering: set[str] = set()  # who triggers: recorded once, each part has a record of its own

    def table(self) -> dict[str, Callable[..., Any]]:
        """Return the methods."""
        none, commands = list[ua.Variant](), self._config.opcua is not None and self._config.opcua.commands
        nothing, no = ua.Variant(None), ua.Variant(False)
        internal = recipe_id("RecipeIdInternalDataType", None, self._config)
        job = _of("JobIdDataType", "")
        told = [ua.Variant(True), ua.Variant(0, ua.VariantType.UInt32), _handle(), nothing]
        rows: list[tuple[str, Handler, _Values, Role, bool]] = [
            ("VisionStateMachine/SelectModeAutomatic", self._start, none, "operator", commands),
            ("VisionStateMachine/Reset", self._reset, none, "operator", commands),
            ("VisionStateMachine/ConfirmAll", self._confirm, none, "operator", commands),
            (f"{_AUTOMATIC}/StartSingleJob", self._trigger, [job], "operator", commands),
            ("RecipeManagement/PrepareRecipe", self._prepare, [_in(internal), no], "operator", commands),
            ("RecipeManagement/GetRecipeListFiltered", self._recipes, told, "viewer", True),
            ("ResultManagement/GetResultById", self._result, [_handle(), nothing], "viewer", True),
            ("ResultManagement/GetResultComponentsById", self._components, [nothing] * 16, "viewer", True),
            ("ResultManagement/GetResultListFiltered", self._list, told, "viewer", True),
        ]
        made = {
            path: guarded(call, Method(path.rpartition("/")[2], outputs, role, may), self._say, self._tell)
            for path, call, outputs, role, may in rows
        }
        return made | dict.fromkeys(_UNSUPPORTED, unsupported)

    async def _ask(self, link: StationLink, command: str, **fields: Any) -> dict[str, Any]:
        caller = CALLER.get()
        said = "".join(f"{value}: " for value in fields.values())
        try:
            answer = await asyncio.to_thread(link.ask, command, **fields)
        except LinkError as error:
            await self._tell(command, f"{said}refused: {error}")
            raise
        self._say(f"opcua: {caller.name if caller else ''} asked for {command} {fields or ''}".rstrip())
        if command != "trigger":
            await self._tell(command, f"{said}done")
        elif _name(caller) not in self._triggering:
            self._triggering.add(_name(caller))
            await self._tell(command, "done; the next ones are not recorded here: each part has its record")
        return answer

    async def _tell(self, action: str, outcome: str) -> None:
        """Record who asked for what, and what came of it."""
        await asyncio.to_thread(self._audit, _name(CALLER.get()), action, after=outcome)

    async def _start(self) -> _Values:
        await self._ask(self._link, "start")
        return [_error(OK)]

    async def _reset(self, cause: int, description: str) -> _Values:
        """To Preoperational: stopped, and without a fault whose cause is gone."""
        await self._ask(self._link, "stop")
        await self._ask(self._link, "reset")
        return [_error(OK)]

    async def _confirm(self, comment: Any) -> _Values:
        await self._ask(self._link, "reset")
        return []

    async def _trigger(self, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any) -> _Values:
        if recipe.Id and recipe.Id != str((await self._status())["image"]["job"]):
            raise InputError(f"the recipe is {recipe.Id!r}, and another job is active; prepare it first")
        answer = await self._ask(self._triggers, "trigger", serial=str(part.Id or ""))
        boot = (await self._status())["boot"]
        return [_of("JobIdDataType", f"{boot}-{answer['seq']}"), _error(OK)]

    async def _status(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._link.ask, "status")

    async def _prepare(self, external: Any, internal: Any) -> _Values:
        text = (external.Id if external is not None else "") or internal.Id
        if not text or not text.isascii() or not text.isdigit() or len(text) > 5:
            raise InputError(f"the recipe is {text!r}; expected the number of a job")
        await self._ask(self._link, "job", number=int(text))
        # The job changes between two parts: RecipePreparedEventType says when.
        made = recipe_id("RecipeIdInternalDataType", int(text), self._config)
        return [_in(made), ua.Variant(False), _error(OK)]

    async def _recipes(
        self, external: Any, product: Any, prepared: Any, most: int, start: int, timeout: int
    ) -> _Values:
        active = (await self._status())["image"]["job"]
        jobs = [
            job.number
            for job in jobs_of(self._config)
            if (not external.Id or external.Id == str(job.number))
            and not product.Id
            and int(prepared) in (_DONT_CARE, int(job.number == active))
        ]
        found = jobs[start:]
        taken = found[:most] if most else found
        made = [recipe_id("RecipeIdInternalDataType", number, self._config) for number in taken]
        return _listed(made, len(taken) == len(found))

    async def _result(self, wanted: Any, timeout: int) -> _Values:
        return [_handle(), _in(self._found(wanted)), _error(OK)]

    def _found(self, wanted: Any) -> Any:
        result = self._results.by_id(wanted.Id)
        if result is None:
            raise InputError(f"there is no result {wanted.Id!r} among the last ones")
        return result

    async def _components(self, wanted: Any, timeout: int) -> _Values:
        one = self._found(wanted)
        fields = (
            *("MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId", "ProductId", "ExternalConfigurationId"),
            *("InternalConfigurationId", "JobId"),
        )
        return [
            ua.Variant(False),
            _handle(),
            ua.Variant(one.IsPartial),
            ua.Variant(bool(one.IsSimulated)),
            ua.Variant(one.ResultState, ua.VariantType.Int32),
            *(_in(getattr(one, name)) for name in fields),
            ua.Variant(one.CreationTime, ua.VariantType.DateTime),
            _in(one.ProcessingTimes),
            ua.Variant(one.ResultContent, ua.VariantType.Variant, is_array=True),
            _error(OK),
        ]

    async def _list(self, state: int, meas: Any, part: Any, external: Any, internal: Any, *rest: Any) -> _Values:
        _, _, _, job, most, start, _ = rest
        wanted = Filter(state, *(None if one is None else one.Id for one in (part, external, internal, job)))
        taken, whole = self._results.select(wanted, start, most)
        return _listed(taken, whole)


def _name(caller: Caller | None) -> str:
    """Who calls, as the audit trail has it."""
    return f"opcua {caller.name or 'anonymous'}" if caller is not None else "opcua"


_AUTOMATIC = "VisionStateMachine/AutomaticModeStateMachine"
_DONT_CARE = 2
_UNSUPPORTED = (
    "VisionStateMachine/Halt",
    f"{_AUTOMATIC}/StartContinuous",
    f"{_AUTOMATIC}/Stop",
    f"{_AUTOMATIC}/Abort",
    "RecipeManagement/UnprepareRecipe",
)


def _of(kind: str, text: str) -> ua.Variant:
    return _in(getattr(ua, kind)(text))


def _in(value: Any) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.ExtensionObject)


def _handle() -> ua.Variant:
    """No handle is ever given out: results are kept by value."""
    return ua.Variant(0, ua.VariantType.UInt32)


def _error(code: int) -> ua.Variant:
    return ua.Variant(code, ua.VariantType.Int32)


def _listed(found: list[Any], whole: bool) -> _Values:
    count = ua.Variant(len(found), ua.VariantType.UInt32)
    things = ua.Variant(found, ua.VariantType.ExtensionObject, is_array=True)
    return [ua.Variant(whole), count, _handle(), things, _error(OK)]
