"""Verifies that the tables are sound: no orphans, correct stored counts, law 4 for each run, ledger against targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from etl.database import atomic, connection
from etl.storage.totals import find_wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem found by `verify`. `is_count`: a stored count, which `--repair` corrects.

    `is_note`: no problem, but worth knowing.
    """

    message: str
    is_count: bool = False
    is_note: bool = False


# Compares the stored counts with the tables, source by source. A source without a checkpoint has no stored counts.
_COUNTS = """
    WITH kept AS (
        SELECT source, record_count, removed_count, raw_count, open_quarantine_count FROM ingestion_checkpoints
    ), counted AS (
        SELECT source, sum(present) AS present, sum(removed) AS removed, sum(raws) AS raws, sum(refused) AS refused
        FROM (
            SELECT source, count(*) FILTER (WHERE removed_at IS NULL) AS present, count(removed_at) AS removed,
                0 AS raws, 0 AS refused FROM unified_records GROUP BY source
            UNION ALL SELECT source, 0, 0, count(*), 0 FROM raw_records GROUP BY source
            UNION ALL SELECT source, 0, 0, 0, count(*) FROM etl_quarantine WHERE status = 'open' GROUP BY source
        ) AS tables GROUP BY source
    )
    SELECT coalesce(kept.source, counted.source),
        coalesce(record_count, 0), coalesce(present, 0)::bigint,
        coalesce(removed_count, 0), coalesce(removed, 0)::bigint,
        coalesce(raw_count, 0), coalesce(raws, 0)::bigint,
        coalesce(open_quarantine_count, 0), coalesce(refused, 0)::bigint
    FROM kept FULL JOIN counted ON kept.source = counted.source ORDER BY 1
"""
# Each query counts rows that must not exist.
_ORPHANS = {
    "unified records without their raw record": """
        SELECT source, count(*) FROM unified_records AS u WHERE NOT EXISTS (
            SELECT FROM raw_records AS r
            WHERE r.id = u.raw_id AND r.source = u.source AND r.external_id = u.external_id) GROUP BY source""",
    "raw records without a unified record": """
        SELECT source, count(*) FROM raw_records AS r WHERE NOT EXISTS (
            SELECT FROM unified_records AS u
            WHERE u.source = r.source AND u.external_id = r.external_id) GROUP BY source""",
    "raw records without their run": """
        SELECT source, count(*) FROM raw_records AS r
        WHERE NOT EXISTS (SELECT FROM etl_runs WHERE id = r.run_id) GROUP BY source""",
    "quarantined records without their run": """
        SELECT source, count(*) FROM etl_quarantine AS q
        WHERE NOT EXISTS (SELECT FROM etl_runs WHERE id = q.run_id) GROUP BY source""",
    "marks of a read that is not the last one": """
        SELECT source, count(*) FROM etl_read_marks AS m WHERE NOT EXISTS (
            SELECT FROM ingestion_checkpoints AS c
            WHERE c.source = m.source AND c.read_number = m.read_number) GROUP BY source""",
    "replayed records without the raw record that they became": """
        SELECT source, count(*) FROM etl_quarantine AS q WHERE raw_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM raw_records AS r WHERE r.id = q.raw_id AND r.source = q.source) GROUP BY source""",
    "runs whose counters do not add up": """
        SELECT source, count(*) FROM etl_runs
        WHERE seen <> new + updated + unchanged + duplicate + skipped + quarantined GROUP BY source""",
    "runs whose counters differ from their raw records": """
        SELECT runs.source, count(*) FROM etl_runs AS runs
        LEFT JOIN (SELECT run_id, count(*) AS stored FROM raw_records GROUP BY run_id) AS raws
            ON raws.run_id = runs.id
        WHERE versions <> coalesce(stored, 0) + pruned_raw GROUP BY runs.source""",
    "records (present and removed) more or fewer than the runs count as new": """
        SELECT coalesce(counted.source, stored.source), abs(coalesce(news, 0) - coalesce(records, 0))
        FROM (
            SELECT source, sum(new)::bigint AS news FROM (
                SELECT source, new FROM etl_runs UNION ALL SELECT source, pruned_new FROM ingestion_checkpoints
            ) AS runs GROUP BY source
        ) AS counted
        FULL JOIN (SELECT source, count(*) AS records FROM unified_records GROUP BY source) AS stored
            ON counted.source = stored.source
        WHERE coalesce(news, 0) <> coalesce(records, 0)""",
}

# What is found for each target. Its rows that no record has are the team's own. Two sources may have records for one
# row, and own different columns of it.
_TARGETS = {
    "detached records, whose rows of {label} someone else has deleted": """
        SELECT source, count(*) FROM unified_records AS u
        WHERE target = %s AND removed_at IS NULL AND target_key IS NOT NULL
            AND NOT EXISTS (SELECT FROM {table} AS t WHERE t.{pk} = u.target_key::{kind}) GROUP BY source""",
    "records without the key of their row of {label}": """
        SELECT source, count(*) FROM unified_records
        WHERE target = %s AND removed_at IS NULL AND target_key IS NULL GROUP BY source""",
    "rows of {label} that more than one record of the source has": """
        SELECT source, count(*) FROM (
            SELECT source FROM unified_records
            WHERE target = %s AND removed_at IS NULL AND target_key IS NOT NULL
            GROUP BY source, target_key HAVING count(*) > 1
        ) AS claimed GROUP BY source""",
}


def verify() -> list[Finding]:
    """Check orphans, stored counts and law 4, all at one moment. Returns an empty list if everything is sound."""
    with atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        findings = []
        for question, statement in _ORPHANS.items():
            cursor.execute(statement)
            findings += [Finding(f"{source}: {count} {question}") for source, count in cursor.fetchall()]
        cursor.execute(_COUNTS)
        for source, *numbers in cursor.fetchall():
            findings += _compare_counts(source, numbers)
        findings += [Finding(message, is_count=True) for message in find_wrong(cursor)]
        findings += _compare_targets(cursor)
        return findings


def _compare_targets(cursor: Any) -> Iterator[Finding]:
    """Compare the ledger with the targets: each record has its row, and no row has two records of one source."""
    cursor.execute("SELECT DISTINCT target FROM unified_records WHERE target IS NOT NULL AND removed_at IS NULL")
    for (label,) in cursor.fetchall():
        try:
            model = apps.get_model(label)
        except LookupError:
            yield Finding(f"records are in {label}, which is not installed any more", is_note=True)
            continue
        table, pk = connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(model._meta.pk.column)
        for question, statement in _TARGETS.items():
            cursor.execute(statement.format(table=table, pk=pk, kind=model._meta.pk.rel_db_type(connection)), [label])
            for source, count in cursor.fetchall():
                text = f"{source}: {count} {question.format(label=label)}"
                yield Finding(text, is_note=question.startswith("detached"))


def _compare_counts(source: str, numbers: list[int]) -> Iterator[Finding]:
    names = ("record_count", "removed_count", "raw_count", "open_quarantine_count")
    for name, kept, counted in zip(names, numbers[::2], numbers[1::2], strict=True):
        if kept != counted:
            yield Finding(f"{source}: {name} is stored as {kept} but should be {counted}", is_count=True)
