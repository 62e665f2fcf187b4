"""Modbus requests and their answers as bytes, on 16-bit words (Modbus Application Protocol V1.1b3); no sockets."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

__all__ = ["WRITING", "Error", "Header", "Registers", "Words", "answer", "read_header", "refusal", "with_header"]

HEADER_SIZE = 7
_HEADER = struct.Struct(">HHHB")
_MOST_PDU = 253
_COIL_ON, _COIL_OFF = 0xFF00, 0x0000


class Registers(Protocol):
    """Holding registers of 16 bits. A server calls them from its own thread; neither call may block."""

    def read(self, address: int, count: int) -> list[int]:
        """Return ``count`` words, all of one moment. Raises IndexError outside the map."""
        ...

    def write(self, address: int, values: Sequence[int]) -> None:
        """Take all the words at once, or none. Raises IndexError where they cannot be written, ValueError for a value
        that cannot be.
        """
        ...


class Error(IntEnum):
    """Exception codes."""

    FUNCTION = 1
    """A function that is not known, or not allowed here."""
    ADDRESS = 2
    VALUE = 3
    """A count, a length or a value that cannot be."""
    DEVICE = 4
    """The station failed to answer."""
    BUSY = 6
    """Another peer is the writer."""
    UNIT = 11
    """No device of this unit identifier."""


class Header(NamedTuple):
    """The seven bytes before a request: its transaction, the size of the request itself (the PDU), and the unit."""

    transaction: int
    size: int
    unit: int


class _Refused(Exception):  # noqa: N818 - it is an answer, not a failure
    def __init__(self, code: Error) -> None:
        self.code = code


class Words(NamedTuple):
    """The registers, and the words whose bits are the coils (read and written) and the discrete inputs (read)."""

    registers: Registers
    coils: int
    inputs: int


def read_header(data: bytes | bytearray | memoryview) -> Header | None:
    """Return the header at the start of ``data`` (7 bytes or more); None for what is not Modbus TCP."""
    transaction, protocol, length, unit = _HEADER.unpack_from(data)
    return Header(transaction, length - 1, unit) if protocol == 0 and 2 <= length <= _MOST_PDU + 1 else None


def with_header(header: Header, pdu: bytes) -> bytes:
    """Return the whole answer to the request that ``header`` stood before."""
    return _HEADER.pack(header.transaction, 0, len(pdu) + 1, header.unit) + pdu


def refusal(function: int, code: Error) -> bytes:
    """Return the exception answer to a function."""
    return bytes((function | 0x80, code))


def answer(pdu: bytes, words: Words) -> bytes:
    """Return the answer to a request, an exception where it cannot be served. Raises nothing, whatever ``pdu`` is."""
    function, body = pdu[0], pdu[1:]
    try:
        handler = _FUNCTIONS.get(function)
        if handler is None:
            raise _Refused(Error.FUNCTION)
        return bytes((function,)) + handler(body, words)
    except _Refused as refused:
        return refusal(function, refused.code)
    except IndexError:
        return refusal(function, Error.ADDRESS)
    except ValueError:
        return refusal(function, Error.VALUE)
    except Exception:
        return refusal(function, Error.DEVICE)


def _expect(condition: bool) -> None:
    if not condition:
        raise _Refused(Error.VALUE)


def _unpack(form: str, body: bytes) -> tuple[int, ...]:
    _expect(struct.calcsize(form) == len(body))
    return struct.unpack(form, body)


def _bits(address: int, count: int) -> None:
    if address + count > 16:
        raise _Refused(Error.ADDRESS)


def _read_bits(body: bytes, words: Words, word: int) -> bytes:
    address, count = _unpack(">HH", body)
    _expect(1 <= count <= 2000)
    _bits(address, count)
    value = (words.registers.read(word, 1)[0] >> address) & ((1 << count) - 1)
    data = value.to_bytes((count + 7) // 8, "little")
    return bytes((len(data),)) + data


def _read_coils(body: bytes, words: Words) -> bytes:
    return _read_bits(body, words, words.coils)


def _read_inputs(body: bytes, words: Words) -> bytes:
    return _read_bits(body, words, words.inputs)


def _read_words(body: bytes, words: Words) -> bytes:
    address, count = _unpack(">HH", body)
    _expect(1 <= count <= 125)
    return _packed(words.registers.read(address, count))


def _packed(values: Sequence[int]) -> bytes:
    return struct.pack(f">B{len(values)}H", 2 * len(values), *values)


def _write_bits(words: Words, address: int, count: int, bits: int) -> None:
    """Change some coils; the one writer is served by one thread, so nobody changes the word in between."""
    _bits(address, count)
    mask = ((1 << count) - 1) << address
    before = words.registers.read(words.coils, 1)[0]
    words.registers.write(words.coils, [(before & ~mask) | ((bits << address) & mask)])


def _write_coil(body: bytes, words: Words) -> bytes:
    address, value = _unpack(">HH", body)
    _expect(value in (_COIL_ON, _COIL_OFF))
    _write_bits(words, address, 1, int(value == _COIL_ON))
    return body


def _write_word(body: bytes, words: Words) -> bytes:
    address, value = _unpack(">HH", body)
    words.registers.write(address, [value])
    return body


def _write_coils(body: bytes, words: Words) -> bytes:
    address, count, size = _unpack(">HHB", body[:5])
    _expect(1 <= count <= 1968 and size == (count + 7) // 8 == len(body) - 5)
    _write_bits(words, address, count, int.from_bytes(body[5:], "little"))
    return body[:4]


def _write_words(body: bytes, words: Words) -> bytes:
    address, count, size = _unpack(">HHB", body[:5])
    _expect(1 <= count <= 123 and size == 2 * count)
    words.registers.write(address, _unpack(f">{count}H", body[5:]))
    return body[:4]


def _write_and_read(body: bytes, words: Words) -> bytes:
    read_from, read_count, address, count, size = _unpack(">HHHHB", body[:9])
    _expect(1 <= read_count <= 125 and 1 <= count <= 121 and size == 2 * count)
    values = _unpack(f">{count}H", body[9:])
    words.registers.read(read_from, read_count)  # what cannot be read is refused before anything is written
    words.registers.write(address, values)
    return _packed(words.registers.read(read_from, read_count))


_FUNCTIONS: dict[int, Callable[[bytes, Words], bytes]] = {
    1: _read_coils,
    2: _read_inputs,
    3: _read_words,
    4: _read_words,
    5: _write_coil,
    6: _write_word,
    15: _write_coils,
    16: _write_words,
    23: _write_and_read,
}
"""The functions that are served; holding and input registers (3 and 4) are the same words."""

WRITING = frozenset((5, 6, 15, 16, 23))
"""The functions that change something: for the one writer only."""
