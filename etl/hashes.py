"""Hashes a stored record's content, and the values made from it, as hex text. Pure."""

from collections.abc import Iterable
from hashlib import blake2b
from operator import add

CONTENT_HASH_BYTES = 16
VALUES_HASH_BYTES = 8
NO_TIME_DIGEST = bytes(4).hex()
"""Follows the hash of the values if there is no event time among them; otherwise the digest of the time's mapping."""


def hash_contents(contents: Iterable[bytes]) -> list[str]:
    """Return 16 bytes as hex text for each record's content in canonical form. They depend on nothing else."""
    return _hash_each(contents, blake2b(digest_size=CONTENT_HASH_BYTES))


def hash_tagged(contents: Iterable[bytes], tags: Iterable[str] | None) -> list[str]:
    """Return the hash of each content, followed by the tag of the rule that made it; None: no content has a tag."""
    hashes = hash_contents(contents)
    return hashes if tags is None else list(map(add, hashes, tags))


def is_same_content(one: str, other: str) -> bool:
    """Whether two content hashes are of equal contents, even if different rules made them."""
    return one == other or one[: 2 * CONTENT_HASH_BYTES] == other[: 2 * CONTENT_HASH_BYTES]


def has_other_rule(one: str, other: str) -> bool:
    """Whether two content hashes are of contents that different rules made, so that they say nothing if they differ."""
    return one[2 * CONTENT_HASH_BYTES :] != other[2 * CONTENT_HASH_BYTES :]


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
