"""A client in a process of its own: for each line, an `Order` as JSON, it visits the server and prints what it saw.

``python opcua_client.py URL FOLDER`` with the client's and the server's certificates in the folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from asyncua import Client, Node, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

URI = "http://opcfoundation.org/UA/MachineVision"
STATION = "urn:regad:station:press"


class Visit:
    """A client with its two namespaces."""

    def __init__(self, client: Client, vision: int, own: int) -> None:
        self.client, self.vision, self.own = client, vision, own

    def node(self, path: str) -> Awaitable[Node]:
        """A node by its path below the vision system."""
        names = [f"{self.own}:VisionSystem", *(f"{self.vision}:{name}" for name in path.split("/") if name)]
        return self.client.nodes.objects.get_child(names)  # type: ignore[no-any-return]

    def plain(self, name: str) -> Node:
        """A plain variable."""
        return self.client.get_node(ua.NodeId(f"Station.{name}", self.own))

    async def call(self, path: str, *arguments: Any) -> Any:
        """Call a method; what a server refuses is its status code's name."""
        where, _, name = path.rpartition("/")
        try:
            parent = await self.node(where)
            return await parent.call_method(f"{self.vision}:{name}", *arguments)
        except ua.UaStatusCodeError as error:
            return ua.status_codes.get_name_and_doc(error.code)[0]


def made(value: Any) -> Any:
    """A value as JSON."""
    if isinstance(value, (list, tuple)):
        return [made(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: made(getattr(value, name)) for name in value.__dataclass_fields__ if name != "Encoding"}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


async def browse(visit: Visit) -> Any:
    """The tree of the vision system: the path of each node, with its type's or its own name."""
    found: list[str] = []

    async def walk(node: Node, path: str) -> None:
        for child in await node.get_children():
            name = f"{path}/{(await child.read_browse_name()).Name}"
            found.append(name.removeprefix("/"))
            await walk(child, name)

    vision = await visit.node("")
    await walk(vision, "")
    kind = visit.client.get_node(await vision.read_type_definition())
    return {"type": (await kind.read_browse_name()).to_string(), "nodes": found}


async def states(visit: Visit) -> Any:
    """The states of both machines, by name and number, and the plain variables."""
    found = []
    for path in ("VisionStateMachine", "VisionStateMachine/AutomaticModeStateMachine"):
        state = await (await visit.node(path)).get_child("0:CurrentState")
        number = await state.get_child("0:Id")
        for node in (state, number):
            read = await node.read_data_value(raise_on_bad_status=False)
            value = read.Value.Value if read.StatusCode.is_good() else None
            found.append(read.StatusCode.name if value is None else getattr(value, "Text", None) or value.Identifier)
    plain = {}
    for name in ("State", "Ready", "Job", "Parts", "LastKey", "LastPass"):
        read = await visit.plain(name).read_data_value(raise_on_bad_status=False)
        plain[name] = read.Value.Value if read.StatusCode.is_good() else read.StatusCode.name
    return {"states": found, "plain": plain}


async def results(visit: Visit) -> Any:
    """The list of results, one of them by its id, and what is said of one that is not there."""
    empty = {name: getattr(ua, name)() for name in _FILTERS}
    listed = await visit.call(
        "ResultManagement/GetResultListFiltered",
        ua.Variant(0, ua.VariantType.Int32),
        *(ua.Variant(empty[name], ua.VariantType.ExtensionObject) for name in _FILTERS),
        *(ua.Variant(number, ua.VariantType.UInt32) for number in (2, 1)),
        ua.Variant(0, ua.VariantType.Int32),
    )
    timeout = ua.Variant(0, ua.VariantType.Int32)
    first = listed[3][0]
    wanted = ua.Variant(first.ResultId, ua.VariantType.ExtensionObject)
    one = await visit.call("ResultManagement/GetResultById", wanted, timeout)
    parts = await visit.call("ResultManagement/GetResultComponentsById", wanted, timeout)
    other = ua.Variant(ua.ResultIdDataType("none"), ua.VariantType.ExtensionObject)
    none = await visit.call("ResultManagement/GetResultById", other, timeout)
    wrong = await visit.call("ResultManagement/GetResultById", ua.Variant(7), timeout)
    return {"list": made(listed), "one": made(one), "parts": made(parts), "none": made(none), "wrong": made(wrong)}


_FILTERS = (
    *("MeasIdDataType", "PartIdDataType", "RecipeIdExternalDataType", "RecipeIdInternalDataType"),
    *("ConfigurationIdDataType", "ConfigurationIdDataType", "ProductIdDataType", "JobIdDataType"),
)


async def commands(visit: Visit) -> Any:
    """What every method that moves the station answers."""
    cause = (ua.Variant(1, ua.VariantType.Int32), ua.Variant("test"))
    ids = [getattr(ua, name)() for name in ("MeasIdDataType", "PartIdDataType")]
    ids[1].Id = "A17"
    ids += [ua.RecipeIdExternalDataType(), ua.ProductIdDataType()]
    job = [ua.Variant(one, ua.VariantType.ExtensionObject) for one in ids]
    job.append(ua.Variant([], ua.VariantType.Variant, is_array=True))

    def recipe(text: str) -> list[ua.Variant]:
        values = (ua.RecipeIdExternalDataType(Id=text), ua.RecipeIdInternalDataType())
        return [ua.Variant(one, ua.VariantType.ExtensionObject) for one in values]

    machine, automatic = "VisionStateMachine", "VisionStateMachine/AutomaticModeStateMachine"
    calls: dict[str, list[Any]] = {
        f"{machine}/SelectModeAutomatic": [],
        f"{machine}/Reset": [*cause],
        f"{machine}/ConfirmAll": [ua.LocalizedText("seen")],
        f"{machine}/Halt": [*cause],
        f"{automatic}/StartSingleJob": job,
        f"{automatic}/Stop": [*cause],
        "RecipeManagement/PrepareRecipe": recipe("1"),
        "RecipeManagement/UnprepareRecipe": recipe("1"),
    }
    found = {path.rpartition("/")[2]: made(await visit.call(path, *given)) for path, given in calls.items()}
    found["unknown job"] = made(await visit.call("RecipeManagement/PrepareRecipe", *recipe("99")))
    found["no job"] = made(await visit.call("RecipeManagement/PrepareRecipe", *recipe("../x")))
    ids[2].Id = "2"
    found["other job"] = made(await visit.call(f"{automatic}/StartSingleJob", *job))
    return found


async def recipes(visit: Visit) -> Any:
    """The jobs."""
    given = [ua.Variant(getattr(ua, name)(), ua.VariantType.ExtensionObject) for name in (_FILTERS[2], _FILTERS[6])]
    given += [ua.Variant(2, ua.VariantType.Int32), *(ua.Variant(0, ua.VariantType.UInt32) for _ in range(2))]
    given.append(ua.Variant(0, ua.VariantType.Int32))
    return made(await visit.call("RecipeManagement/GetRecipeListFiltered", *given))


class Heard:
    """Events, as they come."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        """Take an event."""
        self.queue.put_nowait(event)

    def status_change_notification(self, status: Any) -> None:
        """Take what becomes of the subscription."""


async def events(visit: Visit) -> Any:
    """The next three results, from an event each; asks for them by printing a line."""
    heard = Heard()
    subscription = await visit.client.create_subscription(50, heard)
    kind = visit.client.get_node(ua.NodeId(1024, visit.vision))
    await subscription.subscribe_events(visit.client.nodes.server, kind)
    print("listening", flush=True)
    found = []
    for _ in range(3):
        event = await asyncio.wait_for(heard.queue.get(), 60)
        found.append(
            {
                "id": event.ResultId.Id,
                "content": event.ResultContent[0].Value,
                "simulated": event.IsSimulated,
                "recipe": event.InternalRecipeId.Id,
                "state": event.ResultState,
            }
        )
    await subscription.delete()
    return found


async def drop(visit: Visit) -> Any:
    """Subscribe, and leave without a word."""
    subscription = await visit.client.create_subscription(50, Heard())
    await subscription.subscribe_events(visit.client.nodes.server)
    print("listening", flush=True)
    await asyncio.sleep(60)
    return None


async def lasting(visit: Visit) -> Any:
    """What ends a session that only reads."""
    print("listening", flush=True)
    for _ in range(600):
        try:
            await visit.plain("State").read_value()
        except ua.UaStatusCodeError as error:
            return ua.status_codes.get_name_and_doc(error.code)[0]
        await asyncio.sleep(0.05)
    return "it went on"


async def write(visit: Visit) -> Any:
    """What a client is told that writes, or adds a node."""
    attempts = (
        visit.plain("LastPass").write_value(True),
        visit.client.nodes.objects.add_variable(visit.own, "Mine", 1),
    )
    return [ua.status_codes.get_name_and_doc(error.code)[0] for error in await settled(attempts)]


async def settled(attempts: Iterable[Awaitable[Any]]) -> list[Any]:
    """What becomes of attempts that are refused."""
    return [(await asyncio.gather(attempt, return_exceptions=True))[0] for attempt in attempts]


ACTIONS: dict[str, Callable[[Visit], Awaitable[Any]]] = {
    action.__name__: action for action in (browse, states, results, commands, recipes, events, drop, lasting, write)
}


class Order(NamedTuple):
    """One visit: what to do, who says so, and whether without encryption."""

    what: str
    user: str | None
    password: str
    plain: bool


async def run(url: str, folder: Path, order: Order) -> Any:
    """Connect, do one thing, and leave."""
    client = Client(url, timeout=20)
    client.application_uri = "urn:regad:test:client"
    if order.user:
        client.set_user(order.user)
        client.set_password(order.password)
    try:
        if not order.plain:
            files = [folder / name for name in ("client.der", "client.pem")]
            await client.set_security(SecurityPolicyBasic256Sha256, *files, server_certificate=folder / "s.der")
        async with client:
            vision, own = [await client.get_namespace_index(uri) for uri in (URI, STATION)]
            if not hasattr(ua, "ResultDataType"):
                await client.load_data_type_definitions()
            return await ACTIONS[order.what](Visit(client, vision, own))
    except ua.UaStatusCodeError as error:
        return ua.status_codes.get_name_and_doc(error.code)[0]
    except (ConnectionError, asyncio.TimeoutError, ua.UaError) as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Follow orders."""
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(run(sys.argv[1], Path(sys.argv[2]), Order(*json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
