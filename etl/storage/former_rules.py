"""Compares stored records with sent ones if different rules made their content hashes.

A source that declares what it ignores, or whose header has another spelling, sends other hashes of the same contents.
The stored record's text says what is meant: it is hashed again by today's rule. Nothing is written.
"""

from typing import Any

from etl.hashes import has_other_rule, hash_tagged, is_same_content
from etl.models import RAW_MODELS
from etl.readers.content_rule import ContentRule
from etl.readers.source import Source
from etl.records import Breach, Judged, Record, StoredRefusal
from etl.vocabulary import BreachCode

Rows = dict[str, tuple[Any, ...]]

_FIND_PAYLOADS = """
    SELECT wanted.id, kept.payload FROM unnest(%s::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
        SELECT payload::text AS payload FROM {table} WHERE id = wanted.id LIMIT 1
    ) AS kept
"""
_NO_BREACH = Breach(BreachCode.MALFORMED, "")


def hash_by_todays_rule(cursor: Any, source: Source, rows: Rows, judged: Judged) -> Rows:
    """Return the ledger's rows, with the content hash by today's rule where it may say more than the stored one."""
    sent = zip(judged.external_ids, judged.content_hashes, strict=True)
    differing = [each for each, content_hash in sent if each in rows and _differ(rows[each], content_hash)]
    raw_ids = {rows[external_id][6]: external_id for external_id in differing}
    if not raw_ids:
        return rows
    rule = ContentRule(source.contract, source.form, source.ignore)
    cursor.execute(_FIND_PAYLOADS.format(table=RAW_MODELS[source.kind].table()), [sorted(raw_ids)])
    found = dict(rows)
    for raw_id, payload in cursor.fetchall():
        external_id = raw_ids[raw_id]
        row = rows[external_id]
        found[external_id] = (*row[:2], _hash_again(source, rule, payload) or row[2], *row[3:])
    return found


def _differ(row: tuple[Any, ...], sent: str) -> bool:
    return not is_same_content(row[2], sent) and has_other_rule(row[2], sent)


def _hash_again(source: Source, rule: ContentRule, payload: str) -> str | None:
    """Return the content hash of a raw record; None if its source can't read it again."""
    record = source.revive(StoredRefusal(0, 0, 0, _NO_BREACH, payload, payload.encode(errors="surrogatepass")))
    if not isinstance(record, Record):
        return None
    content, tag = rule.encode(record.values)
    (content_hash,) = hash_tagged([content], [tag])
    return content_hash
