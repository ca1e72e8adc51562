"""Remembers the ids that a read has met, in a fixed amount of memory: some new ones look known, none is forgotten."""

from collections.abc import Iterable

BITS = 1 << 27
"""16 MiB. After a million ids, 1 of 130 new ones is suspected; after ten million, 1 of 14."""


class SeenIds:
    """A Bloom filter with one hash."""

    def __init__(self) -> None:
        self.bits = bytearray(BITS >> 3)

    def add(self, ids: Iterable[str]) -> list[str]:
        """Add the ids, and return those that may have been added before; all others are new."""
        bits, suspects = self.bits, []
        for each in ids:
            place = hash(each) % BITS
            mask = 1 << (place & 7)
            if bits[place >> 3] & mask:
                suspects.append(each)
            else:
                bits[place >> 3] |= mask
        return suspects
