"""Which responses a partner has been given: 16 bytes each, so that a million of them fit into a small Lambda.

A dict of Python's integers takes some 300 bytes a response. This is a table of open addressing in one array:
slot after slot a response's number and the digest of its text.
"""

from array import array
from collections.abc import Iterable, Iterator

_EMPTY = 2**64 - 1
_SPREAD = 0x9E3779B97F4A7C15  # 2**64 through the golden ratio, odd (Knuth, TAOCP 6.4)
_BITS = 2**64 - 1
_FIRST_SIZE = 10
_NOW = 1
"""The lowest bit of a digest in the table tells whether this dump has given the response."""

type Pair = tuple[int, int]
"""Number of a response, digest of its text; both of 64 bits."""


class Given:
    """Number of a response -> digest of its text, and whether this dump or an earlier one has given it.

    Args:
        earlier: what `packed` gave at the end of an earlier dump.
    """

    def __init__(self, earlier: bytes = b"") -> None:
        self._size = _FIRST_SIZE
        self._slots = _empty(self._size)
        self._count = 0
        for number, digest in pairs(earlier):
            self._put(number, digest & ~_NOW)

    def __len__(self) -> int:
        """How many responses, all dumps together."""
        return self._count

    def take(self, number: int, digest: int) -> bool:
        """Whether a response is to be given: new, or with another text than an earlier dump gave.

        From then on it is given; a second time in the same dump it is not.
        """
        at = self._slot(number)
        held = self._slots[at + 1]
        if self._slots[at] != _EMPTY and (held & _NOW or held == digest & ~_NOW):
            return False
        self._put(number, digest | _NOW)
        return True

    def packed(self) -> bytes:
        """16 bytes for each response, little endian, in no order."""
        slots = self._slots
        found = array("Q")
        for at in range(0, len(slots), 2):
            if slots[at] != _EMPTY:
                found.extend(slots[at : at + 2])
        return found.tobytes()

    def _slot(self, number: int) -> int:
        """Where the number stands, or the free slot that it may take."""
        slots = self._slots
        last = len(slots) - 2
        at = (number * _SPREAD & _BITS) >> (64 - self._size) << 1
        while slots[at] != number and slots[at] != _EMPTY:
            at = at + 2 if at < last else 0
        return at

    def _put(self, number: int, digest: int) -> None:
        at = self._slot(number)
        if self._slots[at] == _EMPTY:
            if self._count * 3 >= 2 << self._size:
                self._grow()
                at = self._slot(number)
            self._count += 1
        self._slots[at], self._slots[at + 1] = number, digest

    def _grow(self) -> None:
        before = self._slots
        self._size += 1
        self._slots = _empty(self._size)
        for at in range(0, len(before), 2):
            if before[at] != _EMPTY:
                place = self._slot(before[at])
                self._slots[place : place + 2] = before[at : at + 2]


def _empty(size: int) -> array[int]:
    """Room for 2**size pairs."""
    return array("Q", bytes([0xFF]) * (16 << size))


def pairs(content: bytes) -> Iterator[Pair]:
    """What `pack` or `packed` wrote."""
    flat = array("Q")
    flat.frombytes(content)
    return zip(flat[::2], flat[1::2], strict=True)


def pack(found: Iterable[Pair]) -> bytes:
    """16 bytes for each pair, little endian."""
    return array("Q", (value for pair in found for value in pair)).tobytes()
