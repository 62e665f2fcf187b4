"""The address space: a VisionSystem after OPC 40100-1, and plain variables for clients that know no structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import Node, Server, ua

from ...station.codes import Status
from ...station.config import Config
from ..sinks.message import VerdictMessage
from ..watch import Heard
from .identity import application_uri
from .results import recipe_id
from .structures import load_structures

__all__ = ["Tree"]

MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"
# Types and states by their numbers in that namespace.
_VISION_SYSTEM, _RECIPES, _RESULTS, _AUTOMATIC = 1003, 1004, 1007, 1021
_RESULT_READY, _RECIPE_PREPARED = 1024, 1022
_CONFIRM_ALL, _SELECT_AUTOMATIC = 7066, 7095
_PREOPERATIONAL, _HALTED = ("Preoperational", 5028), ("Halted", 5029)
_ERROR, _OPERATIONAL = ("Error", 5030), ("Operational", 5031)
_INITIALIZED, _READY = ("Initialized", 5056), ("Ready", 5057)
_SINGLE, _CONTINUOUS = ("SingleExecution", 5058), ("ContinuousExecution", 5059)

State = tuple[str, int]
STATES: dict[str, tuple[State, State | None]] = {
    "BOOT": (_PREOPERATIONAL, None),
    "SETUP": (_PREOPERATIONAL, None),
    "IDLE": (_OPERATIONAL, _INITIALIZED),
    "READY": (_OPERATIONAL, _READY),
    "BUSY": (_OPERATIONAL, _SINGLE),
    "RESULT": (_OPERATIONAL, _SINGLE),
    "FAULT": (_ERROR, None),
    "STOPPED": (_HALTED, None),
}
"""The station's states as VisionStateMachine and AutomaticModeStateMachine have them; None: that one is not active."""

_BOOLEAN, _STRING, _UINT32, _DOUBLE = (
    ua.VariantType.Boolean,
    ua.VariantType.String,
    ua.VariantType.UInt32,
    ua.VariantType.Double,
)
_NOW: dict[str, ua.VariantType] = {
    **{"State": _STRING, "Ready": _BOOLEAN, "Fault": _STRING, "Job": _UINT32, "Mode": _STRING},
    **{"Parts": _UINT32, "Rejects": _UINT32, "Missed": _UINT32, "Late": _UINT32},
}
_LAST: dict[str, ua.VariantType] = {
    **{"Key": _STRING, "Pass": _BOOLEAN, "Output": _STRING, "Verdict": _STRING, "Percent": _DOUBLE},
    **{"PartId": _UINT32, "Serial": _STRING, "Time": _STRING, "Json": _STRING},
}


class Tree:
    """The nodes of a server. `build` makes them; the others are called in the server's loop."""

    def __init__(self, server: Server, config: Config) -> None:
        self._server, self._config = server, config
        self._free_run = config.trigger.kind == "free"
        self._plain: dict[str, Node] = {}
        self._told: tuple[Any, ...] = ()
        self._job = 0

    async def build(self, nodeset: str, methods: Callable[[], dict[str, Callable[..., Any]]]) -> None:
        """Load the types and make the station's nodes. ``methods`` is asked once the types are there."""
        await self._server.import_xml(xmlstring=nodeset)
        self._types = await self._server.get_namespace_index(MACHINE_VISION)
        await load_structures(self._server, self._types)
        self._own = await self._server.register_namespace(application_uri(self._config.station.name))
        objects = self._server.nodes.objects
        self.vision = vision = await self._object(objects, "VisionSystem", _VISION_SYSTEM, own=True)
        machine = await self._child(vision, "VisionStateMachine")
        automatic = await self._object(machine, "AutomaticModeStateMachine", _AUTOMATIC)
        await self._object(vision, "RecipeManagement", _RECIPES)
        await self._object(vision, "ResultManagement", _RESULTS)
        for name, number in (("ConfirmAll", _CONFIRM_ALL), ("SelectModeAutomatic", _SELECT_AUTOMATIC)):
            await self._copy_method(machine, name, number)
        self._states = [await one.get_child("0:CurrentState") for one in (machine, automatic)]
        self._ids = [await one.get_child("0:Id") for one in self._states]
        await self._variables(objects)
        for path, call in methods().items():
            node = vision
            for name in path.split("/"):
                node = await self._child(node, name)
            self._server.link_method(node, call)
        self._ready_event = await self._server.get_event_generator(self._type(_RESULT_READY), vision)
        self._prepared_event = await self._server.get_event_generator(self._type(_RECIPE_PREPARED), vision)
        # asyncua takes the types of an event's fields from values that the NodeSet does not have.
        self._ready_event.event.data_types |= _EVENT
        self._prepared_event.event.data_types |= dict.fromkeys(("ExternalId", "InternalId"), _STRUCTURE)
        await self._notify_from_the_server()
        await self.show_state(Heard(0, None, "the station was not asked yet"))

    async def show_state(self, heard: Heard) -> None:
        """Show what the line says of itself; where it does not answer, that nothing is known."""
        status = heard.status
        image: dict[str, Any] = {} if status is None else status["image"]
        names = ("state", "fault", "job", "parts", "rejects", "missed", "late")
        is_ready = bool(image.get("status", 0) & Status.READY)
        told = (*(image.get(name) for name in names), is_ready, (status or {}).get("mode"))
        if told == self._told:
            return
        self._told = told
        state, fault, job, parts, rejects, missed, late, ready, mode = told
        await self._show_machine(image.get("state", ""))
        plain = {"State": state, "Ready": ready, "Fault": fault, "Job": job, "Mode": mode}
        plain |= {"Parts": parts, "Rejects": rejects, "Missed": missed, "Late": late}
        for name, value in plain.items():
            await self._write(self._plain[name], None if status is None else ua.Variant(value, _NOW[name]))
        if job and job != self._job and state in ("READY", "BUSY", "RESULT"):
            self._job = job
            await self._tell_prepared(job)

    async def show_part(self, message: VerdictMessage, result: Any, *, new: bool) -> None:
        """Show a part in the plain variables, and tell of it by a ResultReadyEvent where it is ``new``."""
        values = (
            *(message.key, message.passed, message.output, message.verdict, message.percent, message.part_id),
            *(message.serial, message.time, result.ResultContent[0].Value),
        )
        for (name, kind), value in zip(_LAST.items(), values, strict=True):
            await self._write(self._plain[f"Last{name}"], None if value is None else ua.Variant(value, kind))
        if not new:
            return
        event = self._ready_event.event
        for name in _EVENT:
            setattr(event, name, getattr(result, name))
        await self._trigger(self._ready_event, f"part {message.key}: {message.output}")

    async def _tell_prepared(self, job: int) -> None:
        event = self._prepared_event.event
        event.ExternalId = recipe_id("RecipeIdExternalDataType", job, self._config)
        event.InternalId = recipe_id("RecipeIdInternalDataType", job, self._config)
        await self._trigger(self._prepared_event, f"job {job} is ready")

    async def _trigger(self, generator: Any, message: str) -> None:
        """Tell of an event at the vision system, and at the server object, where clients of everything listen."""
        event = generator.event
        event.emitting_node = self.vision.nodeid
        await generator.trigger(message=message)
        event.emitting_node = self._server.nodes.server.nodeid
        await self._server.iserver.subscription_service.trigger_event(event)

    async def _show_machine(self, state: str) -> None:
        outer, inner = STATES.get(state, (None, None))
        if self._free_run and inner is not None and inner != _INITIALIZED:
            inner = _CONTINUOUS
        unknown = ua.StatusCodes.BadNoCommunication if outer is None else ua.StatusCodes.BadStateNotActive
        for node, number, shown in zip(self._states, self._ids, (outer, inner), strict=True):
            text = None if shown is None else ua.Variant(ua.LocalizedText(shown[0]), ua.VariantType.LocalizedText)
            await self._write(node, text, unknown)
            await self._write(number, None if shown is None else ua.Variant(self._type(shown[1])), unknown)

    async def _write(self, node: Node, value: ua.Variant | None, code: int = ua.StatusCodes.BadNoCommunication) -> None:
        """Write a value; without one, the reason why there is none."""
        if value is not None:
            await self._server.write_attribute_value(node.nodeid, ua.DataValue(value))
        else:
            await self._server.write_attribute_value(node.nodeid, ua.DataValue(StatusCode=ua.StatusCode(code)))

    async def _object(self, parent: Node, name: str, kind: int, *, own: bool = False) -> Node:
        """An object with what its type makes mandatory."""
        base = "" if own else f"{parent.nodeid.Identifier}."
        node = ua.NodeId(f"{base}{name}", self._own)
        browse = ua.QualifiedName(name, self._own if own else self._types)
        return await parent.add_object(node, browse, objecttype=self._type(kind), instantiate_optional=False)

    async def _copy_method(self, parent: Node, name: str, number: int) -> None:
        """A method that its type leaves open, with the type's arguments."""
        source = self._server.get_node(self._type(number))
        arguments = {(await one.read_browse_name()).Name: await one.read_value() for one in await source.get_children()}
        node = ua.NodeId(f"{parent.nodeid.Identifier}.{name}", self._own)
        browse = ua.QualifiedName(name, self._types)
        lists = (arguments.get("InputArguments", []), arguments.get("OutputArguments", []))
        await parent.add_method(node, browse, None, *lists)

    async def _variables(self, objects: Node) -> None:
        folder = await objects.add_folder(ua.NodeId("Station", self._own), ua.QualifiedName("Station", self._own))
        for name, kind in (_NOW | {f"Last{name}": kind for name, kind in _LAST.items()}).items():
            node, browse = ua.NodeId(f"Station.{name}", self._own), ua.QualifiedName(name, self._own)
            self._plain[name] = await folder.add_variable(node, browse, ua.Variant(_EMPTY[kind], kind))
            await self._write(self._plain[name], None)

    async def _notify_from_the_server(self) -> None:
        """Let a client that subscribes to the server's events hear those of the vision system."""
        server = self._server.nodes.server
        await server.add_reference(self.vision, ua.ObjectIds.HasNotifier)

    async def _child(self, parent: Node, name: str) -> Node:
        return await parent.get_child(f"{self._types}:{name}")

    def _type(self, number: int) -> ua.NodeId:
        return ua.NodeId(number, self._types)


_EMPTY: dict[ua.VariantType, Any] = {_BOOLEAN: False, _STRING: "", _UINT32: 0, _DOUBLE: 0.0}
_STRUCTURE = ua.VariantType.ExtensionObject
_EVENT: dict[str, ua.VariantType] = {
    **dict.fromkeys(("ResultId", "PartId", "JobId", "ProcessingTimes", "InternalConfigurationId"), _STRUCTURE),
    **dict.fromkeys(("ExternalRecipeId", "InternalRecipeId"), _STRUCTURE),
    **{"IsPartial": _BOOLEAN, "IsSimulated": _BOOLEAN, "ResultState": ua.VariantType.Int32},
    **{"CreationTime": ua.VariantType.DateTime, "ResultContent": ua.VariantType.Variant},
}
"""The fields of a ResultReadyEvent that are filled in, each from the result's field of that name."""
