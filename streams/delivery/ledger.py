"""The ledger of one partition: what was taken, what is finished, and what may be committed.

Pure: offsets in, offsets out. Nothing here knows Kafka beyond the rule that a committed offset is the next one to read.

The commit is the first unfinished offset ("low"), and alongside it, as the commit's metadata string, the set of offsets
beyond low that are finished already. A successor that reads both repeats only what was really unfinished, so one slow
ticket does not make a thousand finished ones behind it be paid again. Confluent's parallel consumer encodes the
same set in the same place; the encoding here is our own.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Apache Kafka keeps 4096 bytes of commit metadata and answers OffsetMetadataTooLarge above.
METADATA_LIMIT = 4096
#: How far beyond low a partition may be read. A bitmap this wide always fits METADATA_LIMIT, even if it does not
#: compress: 24,000 bits are 3,000 bytes, 3,750 in base85.
MAX_SPAN = 24_000

_VERSION = "h1"
#: The widest bitmap that is written or read back, in bits: gaps in the offsets may make a span as wide as they like.
_WIDEST = 8 * MAX_SPAN


@dataclass(frozen=True, slots=True)
class Commit:
    """What to commit for one partition: the next offset to read, and the finished ones beyond it, encoded."""

    offset: int
    metadata: str


class Ledger:
    """Which offsets of one partition are taken and which are finished, during one assignment.

    ``start`` is the committed offset (None if nothing was ever committed) and ``finished`` the offsets at or beyond it
    that are known to be finished.
    """

    __slots__ = ("_finished", "_open", "_order", "_position")

    def __init__(self, start: int | None = None, finished: Iterable[int] = ()) -> None:
        self._finished: set[int] = set(finished)
        self._open: set[int] = set()
        # Taken offsets in fetch order, the finished ones among them dropped lazily from the left.
        self._order: deque[int] = deque()
        self._position = start

    @classmethod
    def restore(cls, offset: int | None, metadata: str) -> Ledger:
        """Return the ledger that a predecessor committed; metadata that is not ours counts as "nothing finished beyond"."""
        if offset is None:
            return cls()
        return cls(offset, decode_finished(offset, metadata))

    @property
    def position(self) -> int | None:
        """The next offset to read, or None before the first fetch of a partition without a commit."""
        return self._position

    @property
    def unfinished(self) -> int:
        """How many taken offsets are not finished."""
        return len(self._open)

    @property
    def span(self) -> int:
        """How far reading has run ahead of low, in offsets."""
        low = self.low
        return 0 if low is None or self._position is None else self._position - low

    def is_reset_by(self, first: int) -> bool:
        """Return whether a batch that begins at this offset belongs to another log: what was before low is never read twice."""
        low = self.low
        return low is not None and first < low

    def take(self, offsets: Sequence[int]) -> list[int]:
        """Enter a fetched batch, ascending, and return the offsets that are to be handled.

        Left out are those that are finished already and those that are in progress. Offsets may have gaps (compaction,
        transaction markers). A batch from before low means that the log was reset under us: the ledger starts again there.
        """
        if not offsets:
            return []
        if self.is_reset_by(offsets[0]):
            self.__init__(offsets[0])  # type: ignore[misc]  # a reset log is a new beginning
        fresh = [offset for offset in offsets if offset not in self._finished and offset not in self._open]
        self._open.update(fresh)
        position = self._position
        self._order.extend(offset for offset in offsets if position is None or offset >= position)
        last = offsets[-1] + 1
        self._position = last if position is None else max(position, last)
        return fresh

    def may_finish(self, offset: int) -> bool:
        """Return whether the offset counts here and is not finished: it is open, or was not read yet.

        Not read yet is an offset that was taken under an earlier assignment of the same partition.
        """
        if offset in self._open:
            return True
        return (self._position is None or offset >= self._position) and offset not in self._finished

    def is_open(self, offset: int) -> bool:
        """Return whether the offset is taken and not finished."""
        return offset in self._open

    def finish(self, offset: int) -> None:
        """Mark one offset as finished, its outputs being with the broker; one that does not count here is ignored."""
        if self.may_finish(offset):
            self._open.discard(offset)
            self._finished.add(offset)

    @property
    def low(self) -> int | None:
        """The first unfinished offset, which is what may be committed; None if nothing is known yet."""
        order, finished = self._order, self._finished
        while order and order[0] in finished:
            finished.discard(order.popleft())
        return order[0] if order else self._position

    def commit(self, limit: int = METADATA_LIMIT) -> Commit | None:
        """Return what may be committed now, or None if nothing was ever taken or committed."""
        low = self.low
        if low is None:
            return None
        return Commit(low, encode_finished(low, self._finished, limit))


def encode_finished(low: int, finished: Iterable[int], limit: int = METADATA_LIMIT) -> str:
    """Encode the offsets beyond low as a string of at most ``limit`` ASCII characters.

    Offsets that do not fit are left out, the farthest first: what is left out is handled again, never lost.
    """
    ahead = sorted(offset - low for offset in finished if 0 <= offset - low < _WIDEST)
    while ahead:
        bits = bytearray(ahead[-1] // 8 + 1)
        for distance in ahead:
            bits[distance >> 3] |= 1 << (distance & 7)
        packed = zlib.compress(bytes(bits), 6)
        data = b"z" + packed if len(packed) < len(bits) else b"r" + bytes(bits)
        text = f"{_VERSION}:{low}:{base64.b85encode(data).decode('ascii')}"
        if len(text) <= limit:
            return text
        ahead = ahead[: len(ahead) * limit // (len(text) + 1)]
    return ""


def decode_finished(low: int, metadata: str) -> frozenset[int]:
    """Return the finished offsets beyond low; empty for anything that was not encoded for this very offset."""
    version, _, rest = metadata.partition(":")
    base, _, text = rest.partition(":")
    if version != _VERSION or base != str(low) or len(metadata) > METADATA_LIMIT:
        return frozenset()
    try:
        data = base64.b85decode(text)
        # Bounded, because a short hostile string may unpack to anything.
        bits = zlib.decompressobj().decompress(data[1:], _WIDEST // 8) if data[:1] == b"z" else data[1:]
    except (ValueError, binascii.Error, zlib.error):
        return frozenset()
    return frozenset(
        low + 8 * index + bit for index, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1
    )
