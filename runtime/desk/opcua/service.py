"""The service ``opcua``: a server in a thread of its own. asyncua is imported there: it takes seconds."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...errors import InputError
from ...station.config_protocols import OpcuaConfig
from ...station.loop_thread import LoopThread
from ...station.opcua_types import read_nodeset
from ...text import reason_of
from ..link import StationLink
from ..service import Health, Surroundings
from ..sinks.cursor import Place
from ..sinks.follower import Follower, hold_of
from ..sinks.message import verdict_message
from ..sinks.thread import POLL

if TYPE_CHECKING:
    from .results import Results
    from .tree import Tree

__all__ = ["OpcuaService"]

_PAGE = 100
_TRIGGERED = 30.0  # seconds that a verdict may take for StartSingleJob


class OpcuaService(LoopThread):
    """The OPC UA server of the desk."""

    name = "opcua"

    def __init__(self, around: Surroundings, config: OpcuaConfig) -> None:
        super().__init__("OPC UA server")
        self.around, self.config = around, config
        self.address = f"opc.tcp://{config.host}:{config.port}"
        self.listening = threading.Event()
        self.trouble = ""

    def health(self) -> Health:
        """How it does."""
        if self.failure is not None:
            return Health(False, f"the server ended: {reason_of(self.failure)}")
        if not self.listening.is_set():
            return Health(True, "starting")
        return Health(not self.trouble, self.trouble or f"at {self.address}")

    def _open(self) -> None:
        if find_spec("asyncua") is None:
            raise InputError("OPC UA needs asyncua, which is not installed; pip install 'regad[opcua]'")
        self._nodeset = read_nodeset(self.config.nodeset)
        try:
            socket.create_server((self.config.host, self.config.port)).close()
        except OSError as error:
            raise InputError(
                f"opcua: {self.config.host} port {self.config.port} cannot be used ({_why(error)}); "
                "set opcua.host to an address of this machine, and opcua.port to a free port"
            ) from error

    async def _serve(self, ready: threading.Event) -> None:
        ready.set()  # the import takes seconds: the desk does not wait for it
        try:
            await self._run_server()
        except Exception as error:
            self.around.say(f"opcua: the server ended: {reason_of(error)}")
            raise

    async def _run_server(self) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what any client does wrong is not our log
        from .results import Results
        from .server import make_server, open_tree

        results = Results()
        server = await make_server(self.config, self.around)
        with StationLink(self.around.config.commands.socket, _TRIGGERED) as triggers:
            tree = await open_tree(server, self._nodeset, self.around, triggers, results)
            await server.start()
            try:
                self.listening.set()
                self.around.say(f"opcua: at {self.address}")
                await self._feed(tree, results, server.iserver.end_sessions)
            finally:
                await server.stop()

    async def _feed(self, tree: Tree, results: Results, end_sessions: Callable[[], Awaitable[None]]) -> None:
        config = self.around.config
        place: Place | None = None
        old = Place("", 0)  # the newest part that was there before the server
        with Follower(self.around.trace, hold_of(config.trace.before_result)) as follower:
            while True:
                await end_sessions()
                await tree.show_state(self.around.watch.heard)
                heads = follower.look()
                if heads.trace:
                    old = Place(heads.trace, heads.row) if place is None else old
                    place = follower.start_of(place, max(0, heads.row - _PAGE))
                    place = await self._tell(follower, place, old, tree, results)
                self.trouble = follower.error
                await asyncio.sleep(POLL)

    async def _tell(self, follower: Follower, place: Place, old: Place, tree: Tree, results: Results) -> Place:
        from .results import result_of

        for row in follower.rows(place, _PAGE):
            message = verdict_message(row, place.trace, self.around.config.station.name)
            result = result_of(message, self.around.config)
            results.add(result)
            await tree.show_part(message, result, new=place.trace != old.trace or row["id"] > old.row)
            place = Place(place.trace, row["id"])
        return place


def _why(error: OSError) -> str:
    """The system's own words: Python adds the address to them."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
