"""How fast OPC UA's clients are served: all of them together, and the server's own reads at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("asyncua", reason="needs asyncua: pip install 'regad[opcua]'")
from asyncua import ua

from regad.runtime.desk.opcua.access import Caller, Paces, StationServer, StationUsers


class Counted:
    """A queue that lets everybody through and counts."""

    def __init__(self) -> None:
        self.turns = 0

    async def turn(self) -> None:
        self.turns += 1


class CountedPaces(Paces):
    def __init__(self) -> None:
        self.calls, self.looks = Counted(), Counted()  # type: ignore[assignment]


@pytest.mark.parametrize(("external", "turns"), [(True, (3, 2)), (False, (0, 0))])
def test_each_call_and_look_of_a_client_takes_a_turn(tmp_path: Path, external: bool, turns: tuple[int, int]) -> None:
    async def ask() -> tuple[int, int]:
        paces = CountedPaces()
        server = StationServer(StationUsers(tmp_path / "users.json", True, [].append), 2, paces)
        session = server.create_session("client", user=Caller(), external=external)
        wanted = ua.CallMethodRequest(ua.NodeId(1), ua.NodeId(2), [])
        await session.call([wanted, wanted, wanted])
        await session.read(ua.ReadParameters())
        await session.browse(ua.BrowseParameters())
        return paces.calls.turns, paces.looks.turns  # type: ignore[attr-defined]

    assert asyncio.run(ask()) == turns
