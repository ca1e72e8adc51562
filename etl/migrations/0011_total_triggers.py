"""The triggers that maintain `etl_totals`, and the functions that recount its rows.

The triggers fire once per statement, with one sorted upsert for all of its rows: two transactions can't deadlock
on totals within a statement, and a mass insert or delete updates each total once instead of once per row.
"""

from django.db import migrations

# The amounts that one run adds to its source's totals. It takes columns and not the row, because the row's type would
# make the function depend on the table. It reads no table.
COUNT_RUN = """
CREATE FUNCTION etl_count_run(
    run_status text, run_reason text, run_started_at timestamptz, run_finished_at timestamptz,
    run_new bigint, run_updated bigint, run_unchanged bigint, run_duplicate bigint, run_quarantined bigint
) RETURNS TABLE (name text, label text, amount numeric, latest timestamptz) LANGUAGE sql IMMUTABLE AS $$
    SELECT 'records', outcome, number::numeric, NULL::timestamptz
    FROM (VALUES ('new', run_new), ('updated', run_updated), ('unchanged', run_unchanged),
        ('duplicate', run_duplicate), ('quarantined', run_quarantined)) AS counters (outcome, number)
    WHERE number <> 0
    UNION ALL
    SELECT 'runs', run_status, 1, run_finished_at WHERE run_finished_at IS NOT NULL
    UNION ALL
    SELECT 'failures', run_reason, 1, run_finished_at WHERE run_status = 'failed'
    UNION ALL
    SELECT measured.name, measured.label, measured.amount, NULL
    FROM (SELECT greatest(0, extract(epoch FROM run_finished_at - run_started_at)) AS seconds) AS duration,
    LATERAL (VALUES
        ('duration_sum', '', seconds),
        ('duration', (
            SELECT coalesce(min(bound)::text, '+Inf')
            FROM unnest(ARRAY[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0]) AS bound
            WHERE seconds <= bound), 1)
    ) AS measured (name, label, amount)
    WHERE run_finished_at IS NOT NULL AND run_started_at IS NOT NULL
$$
"""
COUNTERS = "rows.new, rows.updated, rows.unchanged, rows.duplicate, rows.quarantined"
RUN_COLUMNS = f"rows.status, rows.reason, rows.started_at, rows.finished_at, {COUNTERS}"


def count_runs(rows, sign="", latest="counted.latest"):
    return f"""
        SELECT rows.source, counted.name, counted.label, {sign}counted.amount AS amount, {latest} AS latest
        FROM {rows} AS rows CROSS JOIN LATERAL etl_count_run({RUN_COLUMNS}) AS counted"""


def count_retries(rows, sign=""):
    """The retries among these events whose run still exists."""
    return f"""
        SELECT run.source, 'retries' AS name, '' AS label, {sign}1::numeric AS amount, NULL::timestamptz AS latest
        FROM {rows} AS event JOIN etl_runs AS run ON run.id = event.run_id WHERE event.kind = 'retry'"""


def count_changes(rows, sign=""):
    return f"""
        SELECT source, 'schema_changes' AS name, '' AS label, {sign}1::numeric AS amount, NULL::timestamptz AS latest
        FROM {rows}"""


NOTHING_NEW = "NULL::timestamptz"
# Deleting a row subtracts its counts. For a run this includes its remaining retry events, because without the run
# their source is unknown; their own trigger has already subtracted any that were deleted earlier.
RETRIES_OF_LOST_RUNS = """
    UNION ALL
    SELECT run.source, 'retries', '', -1, NULL
    FROM lost AS run JOIN etl_run_events AS event ON event.run_id = run.id WHERE event.kind = 'retry'"""
TRIGGERS = (
    ("etl_runs", "INSERT", count_runs("gained")),
    ("etl_runs", "UPDATE", f"{count_runs('gained')} UNION ALL {count_runs('lost', '-', NOTHING_NEW)}"),
    ("etl_runs", "DELETE", f"{count_runs('lost', '-', NOTHING_NEW)} {RETRIES_OF_LOST_RUNS}"),
    ("etl_run_events", "INSERT", count_retries("gained")),
    ("etl_run_events", "DELETE", count_retries("lost", "-")),
    ("schema_changes", "INSERT", count_changes("gained")),
    ("schema_changes", "DELETE", count_changes("lost", "-")),
)
SEEN_BY = {
    "INSERT": "NEW TABLE AS gained",
    "UPDATE": "OLD TABLE AS lost NEW TABLE AS gained",
    "DELETE": "OLD TABLE AS lost",
}


def make_trigger(table, operation, counted):
    """Deleted rows raise `pruned`: `value` never falls, and `value - pruned` matches the tables.

    A heartbeat changes no count, so the trigger has nothing to add and writes nothing.
    The function keeps the search path it was created with, so it counts writes from sessions with any search path.
    """
    name = f"{table}_total_{operation.lower()}"
    return f"""
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO etl_totals AS kept (source, name, label, value, pruned, latest)
        SELECT source, name, label, greatest(0, sum(amount)), greatest(0, -sum(amount)), max(latest)
        FROM ({counted}) AS counted
        GROUP BY source, name, label HAVING sum(amount) <> 0
        ORDER BY source, name, label
        ON CONFLICT (source, name, label) DO UPDATE SET
            value = kept.value + EXCLUDED.value,
            pruned = kept.pruned + EXCLUDED.pruned,
            latest = greatest(kept.latest, EXCLUDED.latest);
        RETURN NULL;
    END $$;
    CREATE TRIGGER {name} AFTER {operation} ON {table} REFERENCING {SEEN_BY[operation]}
    FOR EACH STATEMENT EXECUTE FUNCTION {name}();
    """


# TRUNCATE does not say which rows it deletes, but it deletes all of them.
TRUNCATED = {
    "etl_runs": "'runs', 'failures', 'records', 'duration', 'duration_sum'",
    "etl_run_events": "'retries'",
    "schema_changes": "'schema_changes'",
}


def make_truncate_trigger(table, names):
    name = f"{table}_total_truncate"
    return f"""
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        UPDATE etl_totals SET pruned = value WHERE name IN ({names}) AND pruned <> value;
        RETURN NULL;
    END $$;
    CREATE TRIGGER {name} AFTER TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {name}();
    """


# This is a function because PostgreSQL refuses to alter columns that a view uses.
COUNT_TOTALS = f"""
CREATE FUNCTION etl_count_totals()
RETURNS TABLE (source text, name text, label text, amount numeric, latest timestamptz)
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT source, name, label, sum(amount), max(latest)
    FROM ({count_runs('etl_runs')} UNION ALL {count_retries('etl_run_events')}
        UNION ALL {count_changes('schema_changes')}) AS counted
    GROUP BY source, name, label
$$
"""
# The lock waits for every transaction that has counted something, and keeps others from counting, so the next
# statements see exactly the rows that the totals must match. (Readers do not wait.)
MEND_TOTALS = """
CREATE FUNCTION etl_mend_totals() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    LOCK TABLE etl_totals IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO etl_totals AS kept (source, name, label, value, pruned, latest)
    SELECT source, name, label, amount, 0, latest FROM etl_count_totals()
    ON CONFLICT (source, name, label) DO UPDATE SET
        value = kept.pruned + EXCLUDED.value,
        latest = greatest(kept.latest, EXCLUDED.latest);
    UPDATE etl_totals AS kept SET value = pruned
    WHERE value <> pruned AND NOT EXISTS (
        SELECT FROM etl_count_totals() AS counted
        WHERE (counted.source, counted.name, counted.label) = (kept.source, kept.name, kept.label));
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0010_totals'),
    ]

    operations = [
        migrations.RunSQL(
            sql=COUNT_RUN,
            reverse_sql='DROP FUNCTION etl_count_run',
        ),
        *[
            migrations.RunSQL(
                sql=make_trigger(table, operation, counted),
                reverse_sql=f'DROP FUNCTION {table}_total_{operation.lower()} CASCADE',  # drops its trigger too
            )
            for table, operation, counted in TRIGGERS
        ],
        *[
            migrations.RunSQL(
                sql=make_truncate_trigger(table, names),
                reverse_sql=f'DROP FUNCTION {table}_total_truncate CASCADE',
            )
            for table, names in TRUNCATED.items()
        ],
        migrations.RunSQL(
            sql=COUNT_TOTALS,
            reverse_sql='DROP FUNCTION etl_count_totals',
        ),
        migrations.RunSQL(
            sql=MEND_TOTALS,
            reverse_sql='DROP FUNCTION etl_mend_totals',
        ),
    ]
