"""The canonical form of a record's content: equal contents give equal bytes. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from etl.contracts.field_type import Number


def encode_canonically(values: Mapping[str, Any]) -> bytes:
    """Return the content as JSON with sorted keys; numbers and strings as sent. Lone surrogates are kept."""
    return _encode(values).encode(errors="surrogatepass")


def _encode_number(value: Number) -> dict[str, str]:
    return {"\x00number": value.text}  # the string "1" and the number 1 differ


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_encode_number).encode
