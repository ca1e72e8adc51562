"""Opaque positions in an ordered list: the row after which to continue. Not secret, and independent of SECRET_KEY.

A position has a checksum that depends on its list (source, filters, ordering), so that a position of another list or
a damaged one is refused.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

CHECK_BYTES = 6
LONGEST = 2000
BIGGEST_ID = (1 << 63) - 1


_to_json = json.JSONEncoder(separators=(",", ":")).encode


class InvalidCursor(ValueError):
    """The text is not a position in this list."""


def encode(list_name: str, values: Sequence[Any]) -> str:
    """Return the position of these key values (strings and integers) in the list of this name."""
    content = _to_json(values).encode()
    return base64.urlsafe_b64encode(_check(list_name, content) + content).rstrip(b"=").decode()


def decode(list_name: str, text: str, types: Sequence[type]) -> list[Any]:
    """Return the key values, of these types (int or str). Raises InvalidCursor."""
    if len(text) > LONGEST or not text.isascii():
        raise InvalidCursor
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, content = whole[:CHECK_BYTES], whole[CHECK_BYTES:]
        if check != _check(list_name, content):
            raise InvalidCursor
        values = json.loads(content)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursor from error
    if not isinstance(values, list) or not _fit(values, types):
        raise InvalidCursor
    return values


def _check(list_name: str, content: bytes) -> bytes:
    return blake2b(content, digest_size=CHECK_BYTES, key=blake2b(list_name.encode(), digest_size=32).digest()).digest()


def _fit(values: list[Any], types: Sequence[type]) -> bool:
    """Return whether the types fit. The checksum stops accidents; this also stops forged positions."""
    return len(values) == len(types) and all(map(_fits, values, types))


def _fits(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str) and _is_storable(value)
    return type(value) is int and 0 <= value <= BIGGEST_ID  # excludes bool


def _is_storable(text: str) -> bool:
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
