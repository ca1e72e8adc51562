"""Judges records: accepted by the contract, with a hash of the content, or refused, with their place. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from etl.contracts.field_types import Number
from etl.readers.source import Source
from etl.records import Accepted, Breach, Original, Record, Refusal

CONTENT_HASH_BYTES = 16
NO_TIME_DIGEST = bytes(4)
"""Replaces the time mapping's digest if a record has no time: its row holds the time of writing, which can't be
compared with the source's own times."""


class Judge:
    """Judges the records of one source: accepted by its contract, or refused with their place."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.time_digest = source.time_digest()
        self.empty_hash = hashlib.blake2b(digest_size=CONTENT_HASH_BYTES, key=source.digest().encode())

    def judge(self, items: Iterable[Record | Refusal]) -> list[Accepted | Refusal]:
        """Return each item's judgement, in the order of the items."""
        return [item if isinstance(item, Refusal) else self._judge(item) for item in items]

    def _judge(self, record: Record) -> Accepted | Refusal:
        unified = self.source.judge(record.values)
        if isinstance(unified, Breach):
            return Refusal(record.position, record.line, unified, record.payload, Original.of(record.original))
        content_hash = self.hash_content(record.values)
        if unified.event_timestamp is None:
            content_hash = content_hash[:CONTENT_HASH_BYTES] + NO_TIME_DIGEST
        return Accepted(record, unified, content_hash)

    def hash_content(self, values: Mapping[str, Any]) -> bytes:
        """Return 20 bytes: 16 of the content in canonical form and the contract, 4 of the mapping of the event time.

        Canonical: keys sorted, numbers and strings as sent.
        """
        content = self.empty_hash.copy()
        content.update(_encode_canonically(values).encode())
        return content.digest() + self.time_digest


def _encode_number(value: Number) -> dict[str, str]:
    return {"\x00number": value.text}  # the string "1" and the number 1 differ


_encode_canonically = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_encode_number).encode
