"""The two hashes of a stored record, as hex text: of its content as sent, and of the values made from it. Pure."""

from collections.abc import Iterable
from hashlib import blake2b

CONTENT_HASH_BYTES = 16
VALUES_HASH_BYTES = 8
NO_TIME_DIGEST = bytes(4).hex()
"""Follows the hash of the values if there is no event time among them; otherwise the digest of the time's mapping."""


def hash_contents(contents: Iterable[bytes]) -> list[str]:
    """Return 16 bytes as hex text for each record's content in canonical form. They depend on nothing else."""
    return [blake2b(content, digest_size=CONTENT_HASH_BYTES).hexdigest() for content in contents]


def hash_values(values: Iterable[str]) -> list[str]:
    """Return 8 bytes as hex text for each record's unified fields, given as COPY text without the external id."""
    return [blake2b(text.encode(), digest_size=VALUES_HASH_BYTES).hexdigest() for text in values]
