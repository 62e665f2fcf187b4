"""Modbus requests and answers as bytes: each function, each exception, and whatever else arrives."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regad.runtime.station.modbus_requests import Error, Header, Words, answer, read_header, with_header

from .modbus_doubles import WORDS, WRITABLE, Memory


def words(memory: Memory | None = None) -> Words:
    return Words(memory or Memory(), coils=0, inputs=100)


def pdu(function: int, *fields: int, data: bytes = b"") -> bytes:
    return struct.pack(f">B{len(fields)}H", function, *fields) + data


def sized(data: bytes) -> bytes:
    return bytes((len(data),)) + data


@pytest.mark.parametrize("function", [3, 4])
def test_words_are_read_high_byte_first(function: int) -> None:
    assert answer(pdu(function, 100, 3), words()) == bytes((function, 6)) + struct.pack(">3H", 100, 101, 102)


def test_one_word_is_written_and_echoed() -> None:
    memory = Memory()
    assert answer(pdu(6, 2, 777), words(memory)) == pdu(6, 2, 777)
    assert memory.writes == [(2, [777])]


def test_words_are_written_in_one_go() -> None:
    memory = Memory()
    request = pdu(16, 1, 3, data=sized(struct.pack(">3H", 5, 6, 7)))
    assert answer(request, words(memory)) == pdu(16, 1, 3)
    assert memory.writes == [(1, [5, 6, 7])]


def test_words_are_written_and_then_read_in_one_request() -> None:
    memory = Memory()
    request = pdu(23, 0, 3, 1, 2, data=sized(struct.pack(">2H", 8, 9)))
    assert answer(request, words(memory)) == bytes((23, 6)) + struct.pack(">3H", 0, 8, 9)


def test_nothing_is_written_by_a_request_that_cannot_be_answered() -> None:
    memory = Memory()
    assert answer(pdu(23, WORDS, 1, 0, 1, data=sized(b"\0\7")), words(memory)) == bytes((23 | 0x80, Error.ADDRESS))
    assert memory.writes == []


def test_coils_are_the_bits_of_the_control_word_lowest_first() -> None:
    memory = Memory()
    memory.words[0] = 0b0000_0001_0001_0110
    assert answer(pdu(1, 0, 16), words(memory)) == bytes((1, 2, 0b0001_0110, 0b0000_0001))
    assert answer(pdu(1, 1, 4), words(memory)) == bytes((1, 1, 0b1011))
    assert answer(pdu(2, 2, 1), words(memory)) == bytes((2, 1, 100 >> 2 & 1))


def test_one_coil_changes_and_the_others_stay() -> None:
    memory = Memory()
    memory.words[0] = 0b101
    assert answer(pdu(5, 1, 0xFF00), words(memory)) == pdu(5, 1, 0xFF00)
    assert memory.words[0] == 0b111
    assert answer(pdu(5, 0, 0x0000), words(memory)) == pdu(5, 0, 0)
    assert memory.words[0] == 0b110


def test_several_coils_change_and_the_others_stay() -> None:
    memory = Memory()
    memory.words[0] = 0b1000_0000_0000_0001
    assert answer(pdu(15, 2, 3, data=sized(bytes((0b1111_0101,)))), words(memory)) == pdu(15, 2, 3)
    assert memory.words[0] == 0b1000_0000_0001_0101, "bits beyond the count are padding"


WRONG = [
    ("a function that does not exist", pdu(7), Error.FUNCTION),
    ("reading device identification", pdu(43, 0x0E01), Error.FUNCTION),
    ("words beyond the map", pdu(3, WORDS - 1, 2), Error.ADDRESS),
    ("words that cannot be written", pdu(6, WRITABLE, 1), Error.ADDRESS),
    ("words half of which cannot be written", pdu(16, WRITABLE - 1, 2, data=sized(b"\0\1\0\2")), Error.ADDRESS),
    ("coils beyond the word", pdu(1, 10, 7), Error.ADDRESS),
    ("a coil beyond the word", pdu(5, 16, 0xFF00), Error.ADDRESS),
    ("inputs beyond the word", pdu(2, 0, 17), Error.ADDRESS),
    ("coils to write beyond the word", pdu(15, 15, 2, data=sized(b"\3")), Error.ADDRESS),
    ("no words", pdu(3, 0, 0), Error.VALUE),
    ("too many words", pdu(3, 0, 126), Error.VALUE),
    ("no coils", pdu(1, 0, 0), Error.VALUE),
    ("too many coils", pdu(2, 0, 2001), Error.VALUE),
    ("a coil that is neither on nor off", pdu(5, 0, 1), Error.VALUE),
    ("a value that the station refuses", pdu(6, 0, 60_001), Error.VALUE),
    ("fewer bytes than words", pdu(16, 0, 2, data=sized(b"\0\1")), Error.VALUE),
    ("a byte count that does not fit", pdu(16, 0, 1, data=b"\3\0\1"), Error.VALUE),
    ("fewer bytes than coils", pdu(15, 0, 9, data=sized(b"\1")), Error.VALUE),
    ("a request that is cut off", pdu(3, 0), Error.VALUE),
    ("a request with more than it needs", pdu(3, 0, 1, 1), Error.VALUE),
    ("a write and read that is cut off", pdu(23, 0, 1, 0), Error.VALUE),
]


@pytest.mark.parametrize(("request_", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_cannot_be_served_is_refused_with_the_right_exception(request_: bytes, code: Error) -> None:
    memory = Memory()
    assert answer(request_, words(memory)) == bytes((request_[0] | 0x80, code))
    assert memory.writes == []


def test_a_station_that_fails_is_a_device_failure() -> None:
    class Broken(Memory):
        def read(self, address: int, count: int) -> list[int]:
            raise RuntimeError("no image")

    assert answer(pdu(3, 0, 1), words(Broken())) == bytes((0x83, Error.DEVICE))

    class Wild(Memory):
        def read(self, address: int, count: int) -> list[int]:
            return [70_000]

    assert answer(pdu(3, 0, 1), words(Wild())) == bytes((0x83, Error.DEVICE))


@given(st.binary(min_size=1, max_size=253))
def test_any_bytes_get_one_answer_and_never_an_error(request_: bytes) -> None:
    reply = answer(request_, words())
    assert reply[0] & 0x7F == request_[0] & 0x7F
    assert 2 <= len(reply) <= 253
    if reply[0] & 0x80:
        assert len(reply) == 2
        assert 1 <= reply[1] <= 4


@given(st.integers(0, WRITABLE - 1), st.lists(st.integers(0, 60_000), min_size=1, max_size=WRITABLE))
def test_what_was_written_is_read_again(address: int, values: list[int]) -> None:
    memory = Memory()
    count = len(values)
    request_ = pdu(16, address, count, data=sized(struct.pack(f">{count}H", *values)))
    if address + count > WRITABLE:
        assert answer(request_, words(memory)) == bytes((0x90, Error.ADDRESS))
    else:
        assert answer(request_, words(memory)) == pdu(16, address, count)
        assert answer(pdu(3, address, count), words(memory))[2:] == struct.pack(f">{count}H", *values)


@given(st.integers(0, 65_535), st.integers(0, 15), st.integers(1, 16), st.integers(0, 65_535))
def test_coils_written_are_coils_read_and_touch_no_others(before: int, address: int, count: int, bits: int) -> None:
    memory = Memory()
    memory.words[0] = before % 60_001
    start, bits = memory.words[0], bits & ((1 << count) - 1)
    after = start & ~(((1 << count) - 1) << address) | bits << address
    if address + count > 16 or after > 60_000:
        return
    size = (count + 7) // 8
    answer(pdu(15, address, count, data=sized(bits.to_bytes(size, "little"))), words(memory))
    assert memory.words[0] == after
    assert int.from_bytes(answer(pdu(1, address, count), words(memory))[2:], "little") == bits


@given(st.binary(min_size=7, max_size=7))
def test_a_header_is_modbus_or_none(data: bytes) -> None:
    header = read_header(data)
    protocol, length = struct.unpack(">HH", data[2:6])
    assert (header is not None) == (protocol == 0 and 2 <= length <= 254)


def test_an_answer_carries_the_transaction_and_the_unit_of_its_request() -> None:
    assert with_header(Header(0x1234, 5, 17), b"\x83\x02") == bytes.fromhex("1234 0000 0003 11 83 02")
