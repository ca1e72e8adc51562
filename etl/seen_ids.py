"""Remembers the ids that a read has found, in a fixed amount of memory: some new ones look known, none is forgotten."""

from collections.abc import Sequence

BITS = 1 << 27
"""16 MiB. After a million ids, 1 of 130 new ones looks known; after ten million, 1 of 14."""


class SeenIds:
    """A Bloom filter with one hash."""

    def __init__(self) -> None:
        self.bits = bytearray(BITS >> 3)

    def add(self, ids: Sequence[str]) -> list[int]:
        """Add the ids, and return the indexes of those that may have been added before; all others are new."""
        bits, repeats = self.bits, []
        for index, place in enumerate(map(hash, ids)):
            byte, mask = place >> 3 & (BITS >> 3) - 1, 1 << (place & 7)
            if bits[byte] & mask:
                repeats.append(index)
            else:
                bits[byte] |= mask
        return repeats
