"""The allowance of the servers: never more than it says, everybody in turn, who matters first."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.station import pacing
from regad.runtime.station.listening import Door, bind
from regad.runtime.station.pacing import Bucket, Queue, Turns

from .modbus_doubles import Clock


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 30)), max_size=40))
def test_in_any_stretch_of_time_there_are_no_more_steps_than_the_burst_and_the_rate(
    moves: list[tuple[float, int]],
) -> None:
    clock = Clock()
    bucket, taken = Bucket(10.0, 5, clock=clock), []
    for pause, tries in moves:
        clock.now += pause
        taken += [clock.now for _ in range(tries) if bucket.take()]
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= 5 + 10.0 * (taken[last] - start) + 1e-6


def test_a_bucket_says_when_there_is_a_step_and_then_there_is() -> None:
    clock = Clock()
    bucket = Bucket(4.0, 2, clock=clock)
    assert bucket.wait() == 0.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    assert bucket.wait() == pytest.approx(0.25)
    clock.now += 0.25
    assert bucket.take()
    assert not bucket.take()


def test_after_an_empty_bucket_the_wait_is_for_a_batch_of_steps() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 8, 4, clock)
    assert [bucket.take() for _ in range(9)] == [True] * 8 + [False]
    assert bucket.wait() == pytest.approx(0.4)
    clock.now += 0.1
    assert bucket.take(), "who comes meanwhile need not wait for it"


class Peers:
    """Peers with things to do, and who was served, in order."""

    def __init__(self, first_burst: int, burst: int) -> None:
        self.clock = Clock()
        self.first: str | None = None
        self.left: dict[str, int] = {}
        self.served: list[str] = []
        buckets = Bucket(100.0, first_burst, clock=self.clock), Bucket(10.0, burst, clock=self.clock)
        self.turns: Turns[str] = Turns(self.step, lambda: self.first, *buckets)

    def step(self, peer: str) -> bool:
        self.served.append(peer)
        self.left[peer] -= 1
        return self.left[peer] > 0

    def want(self, peer: str, steps: int) -> None:
        self.left[peer] = self.left.get(peer, 0) + steps
        self.turns.add(peer)


def test_peers_take_turns_however_much_one_of_them_wants() -> None:
    peers = Peers(0, 7)
    peers.want("greedy", 1000)
    peers.want("modest", 2)
    peers.want("other", 1000)
    assert peers.turns.serve() == pytest.approx(0.1)
    assert peers.served == ["greedy", "modest", "other", "greedy", "modest", "other", "greedy"]
    peers.clock.now += 0.1
    peers.turns.serve()
    assert peers.served[7:] == ["other"]


def test_the_first_one_waits_for_nobody_and_has_an_end_too() -> None:
    peers = Peers(3, 2)
    for number in range(50):
        peers.want(f"reader {number}", 1000)
    peers.turns.serve()
    peers.first = "plc"
    peers.want("plc", 1)
    peers.turns.serve()
    assert peers.served == ["reader 0", "reader 1", "plc"]
    peers.want("plc", 1000)
    assert peers.turns.serve() == pytest.approx(0.01), "two more, and then one each 10 ms"
    assert peers.served[3:] == ["plc", "plc"]
    peers.clock.now += 1.0
    peers.turns.serve()
    assert peers.served[5:] == ["plc"] * 3 + ["reader 2", "reader 3"], "its burst, then the others' own"


def test_who_leaves_is_not_served() -> None:
    peers = Peers(1, 1)
    peers.want("stays", 2)
    peers.want("goes", 2)
    peers.turns.serve()
    assert "goes" in peers.turns
    peers.turns.remove("goes")
    peers.turns.remove("goes")
    peers.clock.now += 1.0
    assert peers.turns.serve() is None
    assert peers.served == ["stays", "stays"]


def test_a_queue_lets_through_first_come_first_served_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, yielded = Clock(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await yielded(0)

    monkeypatch.setattr(pacing.asyncio, "sleep", sleep)

    async def client(queue: Queue, name: str, through: list[tuple[str, float]]) -> None:
        for _ in range(4):
            await queue.turn()
            through.append((name, round(clock.now - 100.0, 3)))

    async def run() -> list[tuple[str, float]]:
        queue, through = Queue(Bucket(10.0, 2, clock=clock)), []
        await asyncio.gather(*(client(queue, name, through) for name in "ab"))
        return through

    through = asyncio.run(run())
    assert [at for _, at in through] == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert "".join(name for name, _ in through) == "aaababbb", "a again only behind b, which waits"


class Guest(asyncio.Protocol):
    """Adds its connection to those that were ``taken``."""

    def __init__(self, taken: list[asyncio.BaseTransport]) -> None:
        self.taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.taken.append(transport)


def test_connections_are_taken_as_fast_as_is_allowed_and_the_others_wait_in_the_kernel() -> None:
    clock = Clock()
    listening = bind("127.0.0.1", 0)
    clients = [socket.create_connection(listening.getsockname()) for _ in range(4)]
    taken: list[asyncio.BaseTransport] = []

    async def turns(count: int) -> None:
        for _ in range(100):  # of the loop, which takes a connection within a few
            await asyncio.sleep(0)
        assert len(taken) == count

    async def run() -> None:
        door = Door(listening, lambda: Guest(taken), Bucket(1e6, 3, clock=clock))
        door.open()
        await turns(3)
        clock.now += 1.0
        while len(taken) < 4:
            await asyncio.sleep(0)
        await door.close()
        for transport in taken:
            transport.close()

    asyncio.run(run())
    for client in clients:
        client.close()
    assert listening.fileno() == -1
