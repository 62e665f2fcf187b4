"""A PLC in a few lines: the Modbus TCP client that drives a station in simulations and measurements."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..backends.lifecycle import Closing
from ..errors import InputError
from .codes import Control, State, Status, VerdictCode
from .registers import OUTPUT_START, OUTPUT_WORDS

__all__ = ["ModbusClient", "Outputs", "SimulatedPlc", "Verdict"]

_READ, _WRITE = 3, 16
_HEADER = struct.Struct(">HHHB")


class ModbusClient(Closing):
    """Reads and writes holding registers. Every method raises OSError when the link fails."""

    def __init__(self, host: str, port: int, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = 0

    def read(self, address: int, count: int) -> tuple[int, ...]:
        """Read ``count`` words."""
        body = self._ask(struct.pack(">BHH", _READ, address, count))
        return struct.unpack(f">{count}H", body[2:])

    def write(self, address: int, values: Sequence[int]) -> None:
        """Write words."""
        count = len(values)
        self._ask(struct.pack(f">BHHB{count}H", _WRITE, address, count, 2 * count, *values))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _ask(self, request: bytes) -> bytes:
        self._number = self._number % 0xFFFF + 1
        self._socket.sendall(_HEADER.pack(self._number, 0, len(request) + 1, 1) + request)
        number, _, length, _ = _HEADER.unpack(self._receive(_HEADER.size))
        body = self._receive(length - 1)
        if number != self._number or body[0] != request[0]:
            raise InputError(f"the station refused function {request[0]} with code {body[1]}; see docs/registers.md")
        return body

    def _receive(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self._socket.recv(count - len(found))
            if not part:
                raise ConnectionError("the station has closed the connection")
            found += part
        return found


class Outputs(NamedTuple):
    """Words 100 to 119, those that a PLC needs."""

    status: Status
    heartbeat: int
    state: State
    fault: int
    accepted: int
    seq: int
    part_id: int
    verdict: VerdictCode
    percent: int
    ms: int

    @classmethod
    def of(cls, words: Sequence[int]) -> Outputs:
        """Take the words apart."""
        status, heartbeat, state, fault, _, accepted = words[:6]
        seq, high, low, verdict, percent, ms = words[10:16]
        return cls(
            *(Status(status), heartbeat, State(state), fault, accepted),
            *(seq, high << 16 | low, VerdictCode(verdict), percent, ms),
        )


class Verdict(NamedTuple):
    """How the PLC saw one part: the ``seconds`` from its trigger until it had read the verdict."""

    verdict: VerdictCode
    seconds: float
    outputs: Outputs


class SimulatedPlc:
    """Runs the handshake as a ladder would: enable, trigger with a number, wait for that number, acknowledge nothing.

    A part passes only if VALID is set, result_seq is its number and VERDICT is 1; whatever else comes, or nothing
    within ``patience`` seconds, is a reject.
    """

    def __init__(self, client: ModbusClient, patience: float = 2.0, poll: float = 0.001) -> None:
        self._client = client
        self._patience, self._poll = patience, poll
        self._seq = self._beat = 0

    def outputs(self) -> Outputs:
        """Read the station's words."""
        return Outputs.of(self._client.read(OUTPUT_START, OUTPUT_WORDS))

    def beat(self) -> None:
        """Show the station that the PLC lives."""
        self._beat = self._beat % 0xFFFF + 1
        self._client.write(13, [self._beat])

    def enable(self) -> None:
        """Set ENABLE, and no other bit."""
        self._client.write(0, [Control.ENABLE])

    def wait_ready(self, seconds: float) -> Outputs:
        """Wait until the station is READY. Raises InputError where it does not become so."""
        end = time.monotonic() + seconds
        while True:
            self.enable()
            self.beat()
            found = self.outputs()
            if Status.READY in found.status:
                return found
            if time.monotonic() > end:
                raise InputError(
                    f"the station is not ready after {seconds:g} s: {found.state.name}, error {found.fault}"
                )
            time.sleep(0.05)

    def judge(self, part_id: int) -> Verdict:
        """Trigger for a part and wait for its verdict."""
        self._seq = self._seq % 0xFFFF + 1
        self._beat = self._beat % 0xFFFF + 1
        start = time.monotonic()
        id_words = [part_id >> 16 & 0xFFFF, part_id & 0xFFFF]
        self._client.write(0, [Control.ENABLE | Control.TRIGGER, self._seq, 0, *id_words, *[0] * 8, self._beat])
        while True:
            found = self.outputs()
            seconds = time.monotonic() - start
            if Status.VALID in found.status and found.seq == self._seq:
                break
            if seconds > self._patience or Status.MISSED in found.status:
                found = found._replace(verdict=VerdictCode.NONE)
                break
            time.sleep(self._poll)
        self.enable()
        return Verdict(found.verdict, seconds, found)
