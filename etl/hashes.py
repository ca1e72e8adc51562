"""The two hashes of a stored record, as hex text: of its content as sent, and of the values made from it. Pure."""

import hashlib

CONTENT_HASH_BYTES = 16
VALUES_HASH_BYTES = 8
NO_TIME_DIGEST = bytes(4).hex()
"""Follows the hash of the values if there is no event time among them; otherwise the digest of the time's mapping."""


def hash_content(content: bytes) -> str:
    """Return 16 bytes as hex text for a record's content in canonical form. They depend on nothing else."""
    return hashlib.blake2b(content, digest_size=CONTENT_HASH_BYTES).hexdigest()


def hash_values(values: str) -> str:
    """Return 8 bytes as hex text for a record's unified fields, given as COPY text without the external id."""
    return hashlib.blake2b(values.encode(), digest_size=VALUES_HASH_BYTES).hexdigest()
