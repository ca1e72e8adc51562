"""Finds refused records that are stored under another hash, because another rule made it. Nothing is written.

A source that declares what it ignores, or changes that, knows its refused records by another hash than before. What is
stored says whether a record is the same: it is hashed again by today's rule.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from etl.readers.content_rule import ContentRule
from etl.readers.source import Source
from etl.records import Breach, Record, Refusal, StoredRefusal, unwrap_payload
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import BreachCode

MOST_OF_ONE_ID = 20
"""How many stored refused records with one id are compared."""

# LIMIT makes PostgreSQL look up each key in the index, with or without statistics (docs/decisions/0025).
_FIND_BY_HASH = """
    SELECT wanted.sha256 FROM unnest(%s::bytea[]) AS wanted (sha256) CROSS JOIN LATERAL (
        SELECT id FROM etl_quarantine WHERE source = %s AND file = %s AND original_sha256 = wanted.sha256 LIMIT 1
    ) AS known
"""
_FIND_BY_ID = """
    SELECT kept.* FROM unnest(%s::text[]) AS wanted (external_id) CROSS JOIN LATERAL (
        SELECT original_sha256, payload::text AS payload, original, original_length, file FROM etl_quarantine
        WHERE source = %s AND external_id = wanted.external_id LIMIT %s
    ) AS kept
"""
_NO_BREACH = Breach(BreachCode.MALFORMED, "")


def recognize(source: Source, refusals: Sequence[Refusal], file: str) -> Sequence[Refusal]:
    """Return the refusals of a file's records, those that are stored under another hash with that hash as their key."""
    if not refusals or source.takes_origin:  # then a record is known by its number, and a file does not change
        return refusals
    rule = ContentRule(source.contract, source.form, source.ignore)
    with bounded_transaction() as cursor:
        hashes = {each.identity for each in refusals} | {each.original.sha256 for each in refusals}
        stored = find_known(cursor, source.name, file, hashes)
        unknown = [each for each in refusals if each.identity not in stored]
        former = {each.identity: each.original.sha256 for each in unknown if each.original.sha256 in stored}
        ids = {each.external_id for each in unknown if each.external_id is not None and each.identity not in former}
        if ids:
            cursor.execute(_FIND_BY_ID, [sorted(ids), source.name, MOST_OF_ONE_ID])
            former = _hash_again(source, rule, (row[:4] for row in cursor.fetchall() if row[4] == file)) | former
    return [replace(each, key=former.get(each.identity, each.key)) for each in refusals] if former else refusals


def find_known(cursor: Any, source: str, file: str, hashes: Collection[bytes]) -> set[bytes]:
    """Return those of the hashes under which a refused record of the file is stored."""
    cursor.execute(_FIND_BY_HASH, [sorted(hashes), source, file])
    return {bytes(row[0]) for row in cursor.fetchall()}


def _hash_again(source: Source, rule: ContentRule, rows: Iterable[tuple[Any, ...]]) -> dict[bytes, bytes]:
    """Return the stored hashes of refused records by what they are known by today."""
    found: dict[bytes, bytes] = {}
    for stored, payload, kept, length in rows:
        original = bytes(kept)
        if not rule.knows_by_content:
            found[hashlib.sha256(original).digest()] = bytes(stored)
            continue
        whole = original if len(original) == length else None
        record = source.revive(StoredRefusal(0, 0, 0, _NO_BREACH, payload and unwrap_payload(payload), whole))
        if isinstance(record, Record):
            found[rule.find_key(record.values)] = bytes(stored)
    return found
