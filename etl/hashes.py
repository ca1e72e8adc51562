"""The two hashes of a stored record, as hex text: of its content as sent, and of the values made from it. Pure."""

from collections.abc import Iterable
from hashlib import blake2b

CONTENT_HASH_BYTES = 16
VALUES_HASH_BYTES = 8
NO_TIME_DIGEST = bytes(4).hex()
"""Follows the hash of the values if there is no event time among them; otherwise the digest of the time's mapping."""


def hash_contents(contents: Iterable[bytes]) -> list[str]:
    """Return 16 bytes as hex text for each record's content in canonical form. They depend on nothing else."""
    return _hash_each(contents, blake2b(digest_size=CONTENT_HASH_BYTES))


def hash_values(values: Iterable[str]) -> list[str]:
    """Return 8 bytes as hex text for each record's unified fields, given as COPY text without the external id."""
    return _hash_each(map(str.encode, values), blake2b(digest_size=VALUES_HASH_BYTES))


def _hash_each(texts: Iterable[bytes], empty: blake2b) -> list[str]:
    hashes = []
    for text in texts:
        hasher = empty.copy()  # takes a third less than a new one with its size
        hasher.update(text)
        hashes.append(hasher.hexdigest())
    return hashes
