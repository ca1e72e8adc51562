"""Remembers the ids that a read has found, in a fixed amount of memory: some new ones look known, none is forgotten."""

import pickle
from collections.abc import Sequence

BITS = 1 << 26
"""8 MiB. After a million ids, 1 of 1,100 new ones looks known; after ten million, 1 of 15."""
LAST_BYTE = (BITS >> 3) - 1


class SeenIds:
    """A Bloom filter: an id sets the same bit in two bytes, which the halves of Python's hash of it choose."""

    def __init__(self) -> None:
        self.bits = bytearray(BITS >> 3)

    def add(self, ids: Sequence[str]) -> list[int]:
        """Add the ids, and return the indexes of those that may have been added before; all others are new."""
        bits, repeats = self.bits, []
        for index, number in enumerate(map(hash, ids)):
            one, other, mask = number >> 3 & LAST_BYTE, number >> 32 & LAST_BYTE, 1 << (number & 7)
            if bits[one] & bits[other] & mask:
                repeats.append(index)
            else:
                bits[one] |= mask
                bits[other] |= mask
        return repeats


def pack(ids: Sequence[str]) -> bytes:
    """Return a batch's ids in little memory, for another process: hashes of them differ between processes."""
    return pickle.dumps(ids)


def recall(batches: Sequence[bytes] | None) -> SeenIds | None:
    """Return the ids of all batches, each given as `pack` returns it; None if repeats need not be found."""
    if batches is None:
        return None
    seen_ids = SeenIds()
    for ids in batches:
        seen_ids.add(pickle.loads(ids))  # noqa: S301  (our own)
    return seen_ids
