"""The Modbus server: frames however they arrive, who may ask and who may write, and peers that do not behave."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.errors import InputError
from regad.runtime.station.config import ModbusConfig
from regad.runtime.station.listening import bind
from regad.runtime.station.modbus import ModbusServer

from .modbus_doubles import Client, Clock, Memory, connect, deliver, exchange, feed, frame

READ = struct.pack(">BHH", 3, 100, 20)
WRITE = struct.pack(">BHH", 6, 1, 9)
BUSY, FUNCTION, UNIT = bytes((0x86, 6)), bytes((0x86, 1)), bytes((0x83, 11))


def make(clock: Clock | None = None, **options: object) -> ModbusServer:
    return ModbusServer(ModbusConfig(port=0, **options), Memory(), clock=clock or Clock())  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[ModbusServer]:
    with ModbusServer(ModbusConfig(port=0), Memory()) as made:
        made.start()
        yield made


REQUESTS = st.lists(
    st.tuples(st.integers(0, 65_535), st.sampled_from([READ, WRITE, bytes((1, 0, 0, 0, 8)), bytes((9,)), bytes(253)])),
    max_size=8,
)


@given(REQUESTS, st.lists(st.integers(0, 2000), max_size=12))
def test_the_answers_are_the_same_however_the_bytes_are_cut(asked: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(pdu, transaction) for transaction, pdu in asked)
    whole, pieces = connect(make()), connect(make())
    feed(*whole, data)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        feed(*pieces, data[start:end])
    assert pieces[1].sent == whole[1].sent
    answered, rest = [], whole[1].sent
    while rest:
        transaction, _, length = struct.unpack(">HHH", rest[:6])
        answered.append(transaction)
        rest = rest[6 + length :]
    assert answered == [transaction for transaction, _ in asked]


@given(st.binary(max_size=2000))
def test_garbage_ends_its_connection_at_most_and_nothing_else(data: bytes) -> None:
    server = make()
    connect(server)
    peer, line = connect(server)
    feed(peer, line, data)
    assert server.state.connections == (1 if line.aborted else 2)
    assert exchange(*connect(server), READ)[:2] == bytes((3, 40))


@pytest.mark.parametrize(
    "header",
    [
        struct.pack(">HHHB", 1, 1, 6, 1),
        struct.pack(">HHHB", 1, 0, 0, 1),
        struct.pack(">HHHB", 1, 0, 1, 1),
        struct.pack(">HHHB", 1, 0, 255, 1),
    ],
    ids=["another protocol", "no length", "no function", "longer than any request"],
)
def test_a_peer_that_does_not_speak_modbus_is_cut_off(server: ModbusServer, header: bytes) -> None:
    with Client(server.port) as client, Client(server.port) as other:
        client.send(header + b"\3\0\0\0\1")
        assert client.is_closed()
        assert other.ask(READ)[:2] == bytes((3, 40))


def test_a_request_in_single_bytes_is_answered_once_it_is_whole() -> None:
    peer, line = connect(make())
    for byte in frame(READ)[:-1]:
        feed(peer, line, bytes((byte,)))
    assert line.sent == b""
    feed(peer, line, frame(READ)[-1:])
    assert line.sent[7:9] == bytes((3, 40))


def test_every_unit_is_answered_unless_one_is_set() -> None:
    for unit in (0, 1, 17, 255):
        assert exchange(*connect(make()), READ, unit=unit)[:1] == b"\3"
    only = make(unit=17)
    assert exchange(*connect(only), READ, unit=17)[:1] == b"\3"
    assert exchange(*connect(only), READ, unit=1) == UNIT


def test_only_peers_on_the_list_are_served() -> None:
    server = make(host="0.0.0.0", allow=("192.168.0.10", "10.0.0.0/8", "fd00::/8"))
    for address in ("192.168.0.10", "10.20.30.40", "::ffff:10.0.0.1", "fd00::1%eth0"):
        assert not connect(server, address)[1].aborted, address
    for address in ("192.168.0.11", "127.0.0.1", "::1", "fe80::1%eth0", "::ffff:11.0.0.1", "nonsense", ""):
        assert connect(server, address)[1].aborted, address
    assert (server.state.connections, server.state.refused) == (4, 7)


def test_a_peer_that_is_not_on_the_list_gets_no_answer_over_a_socket() -> None:
    with ModbusServer(ModbusConfig(port=0, allow=("10.0.0.1",)), Memory()) as server:
        server.start()
        with Client(server.port) as client:
            assert client.is_closed()


def test_words_of_a_station_without_control_cannot_be_written() -> None:
    peer, line = connect(make(control=False))
    assert exchange(peer, line, WRITE) == FUNCTION
    assert exchange(peer, line, READ)[:1] == b"\3"


def test_the_first_writer_is_the_only_one_until_it_leaves() -> None:
    server = make()
    first, second = connect(server, "127.0.0.1"), connect(server, "::1")
    assert exchange(*first, WRITE) == WRITE
    assert exchange(*second, WRITE) == BUSY
    assert exchange(*second, READ)[:1] == b"\3", "everybody may read"
    assert server.state.writer == "127.0.0.1"
    first[0].connection_lost(None)
    assert exchange(*second, WRITE) == WRITE
    assert server.state.writer == "::1"


def test_a_writer_that_is_silent_loses_its_place() -> None:
    clock = Clock()
    server = make(clock, writer_silence_ms=5000)
    first, second = connect(server), connect(server)
    assert exchange(*first, WRITE) == WRITE
    clock.now += 4
    assert exchange(*first, WRITE) == WRITE
    clock.now += 4
    exchange(*first, READ)
    assert exchange(*second, WRITE) == BUSY
    clock.now += 1.1
    assert exchange(*second, WRITE) == WRITE
    assert exchange(*first, WRITE) == BUSY


def test_a_refused_write_does_not_reach_the_registers() -> None:
    memory = Memory()
    server = ModbusServer(ModbusConfig(port=0), memory, clock=Clock())
    first, second = connect(server), connect(server)
    exchange(*first, WRITE)
    exchange(*second, struct.pack(">BHH", 5, 0, 0xFF00))
    assert memory.writes == [(1, [9])]


def test_when_all_connections_are_in_use_the_longest_silent_reader_gives_way() -> None:
    clock = Clock()
    server = make(clock, max_connections=3)
    writer, old, young = connect(server), connect(server), connect(server)
    for pair in (writer, old, young):
        clock.now += 1
        exchange(*pair, WRITE if pair is writer else READ)
    newest = connect(server)
    assert [line.aborted for _, line in (writer, old, young, newest)] == [False, True, False, False]
    assert server.state.connections == 3


def test_the_writer_is_never_pushed_out() -> None:
    server = make(max_connections=1)
    writer = connect(server)
    exchange(*writer, WRITE)
    assert connect(server)[1].aborted
    assert not writer[1].aborted


def test_a_connection_that_has_long_been_silent_is_given_up() -> None:
    clock = Clock()
    server = make(clock)
    silent, alive = connect(server), connect(server)
    clock.now += 50
    exchange(*alive, READ)
    clock.now += 20
    server.sweep()
    assert silent[1].aborted
    assert not alive[1].aborted


def test_a_peer_that_reads_no_answers_is_not_read_from_either() -> None:
    peer, line = connect(make())
    peer.pause_writing()
    assert not line.reading
    peer.resume_writing()
    assert line.reading


def test_no_number_of_peers_gets_more_answers_than_the_allowance() -> None:
    clock = Clock()
    server = make(clock)
    crowd = [connect(server) for _ in range(50)]
    unread = [deliver(peer, line, frame(READ) * 1000) for peer, line in crowd]
    assert server.state.requests == 32
    assert not any(line.reading for _, line in crowd), "what is not answered yet waits in the kernel"
    assert all(len(data) >= 1000 * 12 - 520 - 32 * 12 for data in unread)
    for _ in range(10):
        clock.now += 0.05
        server.serve()
    assert server.state.requests == 32 + 10 * 20
    counts = [line.sent.count(frame(READ)[:2]) for _, line in crowd[1:]]
    assert max(counts) - min(counts) <= 1


def test_the_writer_is_answered_at_once_whoever_else_asks() -> None:
    clock = Clock()
    server = make(clock)
    plc = connect(server)
    exchange(*plc, WRITE)
    for peer, line in [connect(server) for _ in range(50)]:
        deliver(peer, line, frame(READ) * 40)
    for _ in range(200):
        clock.now += 0.005
        plc[1].sent = b""
        deliver(*plc, frame(READ))
        assert plc[1].sent[7:9] == bytes((3, 40))
        assert plc[1].reading


def test_a_writer_has_an_allowance_too() -> None:
    server = make(Clock())
    plc = connect(server)
    exchange(*plc, WRITE)
    deliver(*plc, frame(WRITE) * 1000)
    assert server.state.requests < 70


def test_a_request_in_pieces_costs_more_than_a_whole_one() -> None:
    clock = Clock()
    server = make(clock)
    peer, line = connect(server)
    unread = b"".join(deliver(peer, line, bytes((byte,))) for byte in frame(READ) * 4)
    assert 0 < len(unread) < 48 - 32 + 2, "each piece took a step"
    assert server.state.requests == 2


def test_a_peer_whose_link_has_failed_is_not_answered_any_more() -> None:
    clock = Clock()
    server = make(clock)
    peer, line = connect(server)
    deliver(peer, line, frame(READ) * 40)
    line.aborted = True  # the system said so as an answer was written; the loop tells the peer later
    clock.now += 1.0
    server.serve()
    assert server.state.requests == 32


def test_the_steps_of_a_peer_that_left_are_not_taken() -> None:
    clock = Clock()
    server = make(clock)
    peer, line = connect(server)
    deliver(peer, line, frame(READ) * 40)
    peer.connection_lost(None)
    clock.now += 1.0
    server.serve()
    assert server.state.requests == 32


def test_fifty_slow_readers_keep_neither_the_plc_nor_another_reader_from_answers(server: ModbusServer) -> None:
    slow = [Client(server.port) for _ in range(50)]
    try:
        for client in slow:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(frame(READ) * 2000)
        with Client(server.port) as plc, Client(server.port) as reader:
            assert plc.ask(WRITE) == WRITE
            for _ in range(200):
                assert plc.ask(READ) == bytes((3, 40)) + struct.pack(">20H", *range(100, 120))
            assert reader.ask(READ)[:2] == bytes((3, 40))
        assert server.state.connections >= 50
    finally:
        for client in slow:
            client.socket.close()


def test_what_a_slow_reader_asks_is_bounded_by_what_it_reads(server: ModbusServer) -> None:
    asked = 20_000
    with Client(server.port) as slow, Client(server.port) as other:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.socket.setblocking(False)
        sent = slow.socket.send(frame(READ) * asked)
        served, before = 0, -1
        while served != before:  # until the slow one makes no more progress
            before, start = served, server.state.requests - served
            for _ in range(50):
                other.ask(READ)
            served = server.state.requests - start - 50
        assert sent > 100_000
        assert 0 < served < 2000


def test_a_server_is_closed_twice_and_its_port_is_free_again() -> None:
    server = ModbusServer(ModbusConfig(port=0), Memory())
    server.start()
    with Client(server.port) as client:
        assert server.alive
        server.close()
        server.close()
        assert client.is_closed()
    assert not server.alive
    assert server.failure is None
    bind("127.0.0.1", server.port).close()


def test_a_server_that_was_not_started_can_be_closed() -> None:
    ModbusServer(ModbusConfig(port=0), Memory()).close()


def test_a_port_in_use_is_named_with_the_remedy(server: ModbusServer) -> None:
    with pytest.raises(InputError, match=rf"modbus\.port {server.port} at 127\.0\.0\.1 .*in use; find what uses it"):
        bind("127.0.0.1", server.port)


def test_a_port_that_is_not_permitted_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(InputError, match=r"modbus\.port 502 .* choose 1502, or AmbientCapabilities"):
        bind("127.0.0.1", 502)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host."])
def test_an_address_that_is_not_this_machines_is_named(host: str) -> None:
    with pytest.raises(InputError, match=r"modbus\.(host|port)"):
        bind(host, 0)
