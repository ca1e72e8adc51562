"""Judges records column by column: what judging them one by one gives, but fast. For declared sources. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from operator import add

from etl.copy_text import NULL, escape, escape_column
from etl.hashes import NO_TIME_DIGEST, hash_contents, hash_values
from etl.readers.source import TEXT_LIMITS, Lowered, Source
from etl.records import Breach, Judged, Refusal, Slice

Column = Sequence[str | None]


def add_slice(judged: Judged, part: Slice, source: Source, time_digest: str) -> None:
    """Judge the slice's records, and add the accepted ones to the columns and the refused ones to the refusals."""
    taken = {name: part.take(name) for name in source.contract.fields}
    texts, breaches = source.contract.judge_columns(taken.__getitem__, len(part), source.form)
    columns = {target: _map(texts, path) for target, path in source.unified.items()}
    for row, breach in _find_long_texts(source, columns).items():
        breaches.setdefault(row, breach)
    contents, places, payloads = part.list_contents(), part.list_places(), part.list_payloads()
    if breaches:
        judged.refusals += [Refusal.of(part.make_record(row), breaches[row]) for row in sorted(breaches)]
        is_good = [row not in breaches for row in range(len(part))]
        columns = {target: list(compress(column, is_good)) for target, column in columns.items()}
        contents, payloads = list(compress(contents, is_good)), list(compress(payloads, is_good))
        places = list(compress(places, is_good))
    _add_accepted(judged, columns, hash_contents(contents), time_digest)
    escaped = zip(_show(columns["external_id"]), places, escape_column(payloads), strict=True)
    judged.raw += [f"{external_id}\t{place}\t{payload}" for external_id, place, payload in escaped]


def _map(texts: Mapping[str, Column], path: str | Lowered) -> Column:
    if isinstance(path, Lowered):
        return [text.lower() if text is not None else None for text in texts[path.path]]
    return texts[path]


def _find_long_texts(source: Source, columns: Mapping[str, Column]) -> dict[int, Breach]:
    """Find the rows with a text that is too long for its unified field; of two such texts the first counts."""
    breaches: dict[int, Breach] = {}
    for target, limit in TEXT_LIMITS.items():
        column = columns.get(target, ())
        if max(map(len, filter(None, column)), default=0) > limit:
            for row, text in enumerate(column):
                if text is not None and len(text) > limit:
                    breaches.setdefault(row, source.report_long_text(target, len(text)))
    return breaches


def _add_accepted(judged: Judged, columns: Mapping[str, Column], content_hashes: list[str], time_digest: str) -> None:
    external_ids = [text for text in columns["external_id"] if text is not None]  # it is a required field
    values = _join_values(columns, len(external_ids))
    times = _parse_times(columns.get("event_timestamp"), len(external_ids))
    digests = [NO_TIME_DIGEST if time is None else time_digest for time in times]
    values_hashes = list(map(add, hash_values(values), digests))
    judged.external_ids += external_ids
    judged.times += times
    judged.content_hashes += content_hashes
    judged.values_hashes += values_hashes
    rows = zip(escape_column(external_ids), values, content_hashes, values_hashes, strict=True)
    judged.unified += [
        f"{external_id}\t{text}\t\\\\x{content_hash}\t\\\\x{values_hash}"
        for external_id, text, content_hash, values_hash in rows
    ]


def _join_values(columns: Mapping[str, Column], count: int) -> list[str]:
    """Return name, category, value, currency and event time of each record as COPY text."""
    shown = [
        _show(columns[target]) if target in columns else [NULL] * count
        for target in ("name", "category", "value", "currency", "event_timestamp")
    ]
    return list(map("\t".join, zip(*shown, strict=True)))


def _parse_times(column: Column | None, count: int) -> list[datetime | None]:
    if column is None:
        return [None] * count
    return [datetime.fromisoformat(text) if text is not None else None for text in column]


def _show(column: Column) -> Sequence[str]:
    """Return the column as COPY text."""
    texts = [text for text in column if text is not None]
    if len(texts) == len(column):
        return escape_column(texts)
    return [NULL if text is None else escape(text) for text in column]
