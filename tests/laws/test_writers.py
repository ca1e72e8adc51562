"""Each table has its writers: the modules that may insert, update or delete its rows, and no others.

Cascades of deletes (`on_delete` in etl/models/) and the counts of triggers are documented where they are declared,
and not here.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from django.apps import apps

from tests.laws.writes import Write, list_modules, list_writes, list_writes_in
from tests.processes import ROOT

PACKAGES = ("etl", "api", "kasparro")
RAW = ("raw_api_data", "raw_csv_data", "raw_third_source_data")

Writers = dict[str, dict[str, set[str]]]
WRITERS: Writers = {
    "etl_runs": {
        "INSERT": {"etl/runs/orders.py", "etl/runs/starting.py"},
        "UPDATE": {
            *("etl/runs/ending.py", "etl/runs/orders.py", "etl/runs/heartbeat.py", "etl/runs/pruning.py"),
            "etl/runs/starting.py",
        },
        "DELETE": {"etl/runs/pruning.py"},
    },
    "etl_run_keys": {"INSERT": {"etl/runs/orders.py"}},
    "etl_run_events": {"INSERT": {"etl/runs/ending.py", "etl/runs/events.py"}, "DELETE": {"etl/runs/pruning.py"}},
    "ingestion_checkpoints": {
        "INSERT": {"etl/fence/claims.py"},
        "UPDATE": {"etl/fence/batches.py", "etl/fence/claims.py", "etl/fence/counts.py", "etl/fence/reads.py"},
    },
    "etl_task_leases": {"INSERT": {"etl/fence/task_leases.py"}, "UPDATE": {"etl/fence/task_leases.py"}},
    **{table: {"INSERT": {"etl/storage/batch.py"}, "DELETE": {"etl/storage/pruning.py"}} for table in RAW},
    "unified_records": {
        "INSERT": {"etl/storage/batch.py", "etl/storage/target_batch.py"},
        "UPDATE": {
            *("etl/storage/batch.py", "etl/storage/target_batch.py", "etl/storage/target_removal.py"),
            "etl/storage/vanished.py",
        },
    },
    "etl_read_marks": {operation: {"etl/storage/marks.py"} for operation in ("INSERT", "UPDATE", "DELETE")},
    "etl_files": {operation: {"etl/storage/files.py"} for operation in ("INSERT", "UPDATE", "DELETE")},
    "etl_reads": {"INSERT": {"etl/storage/reads.py"}, "UPDATE": {"etl/storage/reads.py"}},
    "etl_quarantine": {
        "INSERT": {"etl/storage/refusals.py"},
        "UPDATE": {"etl/storage/refusals.py", "etl/storage/refusal_states.py"},
        "DELETE": {"etl/storage/pruning.py"},
    },
    "schema_snapshots": {"INSERT": {"etl/storage/snapshots.py"}},
    "schema_changes": {"INSERT": {"etl/storage/snapshots.py"}, "UPDATE": {"etl/storage/snapshots.py"}},
    "etl_alerts": {
        "INSERT": {"etl/runs/alerts.py"},
        "UPDATE": {"etl/runs/alert_sending.py"},
        "DELETE": {"etl/runs/pruning.py"},
    },
    "etl_standings": {"INSERT": {"etl/storage/standings.py"}, "UPDATE": {"etl/storage/standings.py"}},
    "etl_totals": {"UPDATE": {"etl/storage/totals.py"}},  # otherwise only by triggers
}

CHOSEN: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("api/access/tokens.py", "users"): ("auth_user",),  # a project's own users are not written
    ("api/access/tokens.py", "user"): ("auth_user",),
    ("etl/storage/batch.py", "RAW_MODELS[stamp.kind].table()"): RAW,
    ("etl/storage/pruning.py", "{table}"): (*RAW, "etl_quarantine"),
    ("etl/runs/schedule.py", "_list_entries()"): ("django_celery_beat_periodictask",),
    ("etl/runs/schedule.py", "entry"): ("django_celery_beat_periodictask",),
    ("etl/runs/schedule.py", "rows"): ("django_celery_beat_intervalschedule", "django_celery_beat_crontabschedule"),
    ("etl/storage/bulk_copy.py", "{table}"): (),  # the callers name the table
    ("etl/storage/bulk_copy.py", "table"): (),
    ("etl/storage/totals.py", "etl_mend_totals"): ("etl_totals",),
    ("etl/storage/batch.py", "etl_batch_updates"): (),  # a temporary table that lasts for one transaction
    ("etl/storage/target_batch.py", "etl_ledger_updates"): (),
    ("etl/storage/unified_trial.py", "etl_unified_trial"): (),
    ("etl/met_ids.py", "met"): (),  # a database of SQLite
    ("etl/storage/target_rows.py", "{self.name}"): (),
    ("etl/storage/target_rows.py", "self.name"): (),
    ("etl/storage/target_parents.py", "{stage}"): (),
    ("etl/storage/target_rows.py", "{self.target}"): (),  # a team's own table
    ("etl/storage/target_removal.py", "{table}"): (),
}
"""Tables that are chosen at run time, by module and by the expression that chooses."""

NO_ROWS = {
    *(
        "bars",
        "batch.inserts",
        "content",
        "digest",
        "globals()",
        "hasher",
        "kept",
        "self",
        "self.client",
        "self.foreseen_refusals",
        "self.pruned.rows",
        "stage",
    ),
    *("self.foreseen_of_run[QUARANTINE if table == QUARANTINE else 'raw']", "tally.types"),
}
"""Other objects with a method `update` or `delete`."""


def list_tables() -> set[str]:
    """The tables of etl, without views."""
    return {model._meta.db_table for model in apps.get_app_config("etl").get_models() if model._meta.managed}


def list_all_writes() -> list[Write]:
    found = {write for path in list_modules(*PACKAGES) for write in list_writes(path)}
    return sorted(write for write in found if write.table not in NO_ROWS)


def name_tables(write: Write) -> tuple[str, ...]:
    return CHOSEN.get((write.module, write.table), (write.table,))


def collect_writers() -> Writers:
    writers: Writers = defaultdict(lambda: defaultdict(set))
    for write in list_all_writes():
        for table in set(name_tables(write)) & list_tables():
            writers[table]["UPDATE" if write.operation == "CALL" else write.operation].add(write.module)
    return {table: dict(operations) for table, operations in writers.items()}


def test_each_table_is_written_by_its_writers_alone() -> None:
    assert collect_writers() == WRITERS


def test_every_table_has_its_writers() -> None:
    assert WRITERS.keys() == list_tables()


def test_no_write_is_to_a_table_that_the_scan_does_not_know() -> None:
    known = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    unknown = [write for write in list_all_writes() if not known.issuperset(name_tables(write))]
    assert unknown == []


def test_no_row_of_etl_is_written_through_a_relation_of_many_to_many() -> None:
    """Its methods (add, set, remove, clear) are also those of sets, so the scan ignores them."""
    assert [model for model in apps.get_app_config("etl").get_models() if model._meta.many_to_many] == []


IMPORTS = "from etl.models import Run\n"


@pytest.mark.parametrize(
    ("code", "operation", "table"),
    [
        ("q = 'UPDATE etl_runs SET x = 1'", "UPDATE", "etl_runs"),
        ("cursor.execute('delete from etl_runs')", "DELETE", "etl_runs"),
        ("q = f'INSERT INTO {table} VALUES (1)'", "INSERT", "{table}"),
        ("q = 'DELETE FROM {table} AS old'", "DELETE", "{table}"),
        ("q = 'COPY etl_runs FROM STDIN'", "INSERT", "etl_runs"),
        ("copy_rows(cursor, choose(), (), ())", "INSERT", "choose()"),
        ("copy_lines(cursor, 'etl_runs', (), ())", "INSERT", "etl_runs"),
        ("Run.objects.filter(pk=1).update(x=1)", "UPDATE", "etl_runs"),
        ("def f():\n    waiting = Run.objects.filter(pk=1)\n    waiting.order_by('pk').delete()", "DELETE", "etl_runs"),
        ("def f(run: Run):\n    run.delete()", "DELETE", "etl_runs"),
        ("def f(rows: QuerySet[Run]):\n    rows.update(x=1)", "UPDATE", "etl_runs"),
        ("def f():\n    for run in Run.objects.all():\n        run.delete()", "DELETE", "etl_runs"),
        ("def f():\n    run = Run()\n    run.error = text\n    run.save()", "UPDATE", "etl_runs"),
        ("def find() -> Run: ...\ndef f():\n    find().delete()", "DELETE", "etl_runs"),
        ("def f(thing):\n    thing.rows.update(x=1)", "UPDATE", "thing.rows"),
    ],
)
def test_a_write_is_found_however_it_is_written(code: str, operation: str, table: str) -> None:
    found = {(write.operation, write.table) for write in list_writes_in(IMPORTS + code, "a module")}
    assert (operation, table) in found
    assert {name for _, name in found} == {table}


@pytest.mark.parametrize(
    "code",
    [
        '"""COPY rows and UPDATE them."""',
        "q = 'SELECT FROM etl_runs FOR UPDATE SKIP LOCKED'",
        "q = 'SELECT FROM etl_runs FOR NO KEY UPDATE'",
        "Run.objects.filter(pk=1).first()",
    ],
)
def test_what_only_reads_is_no_write(code: str) -> None:
    assert list(list_writes_in(IMPORTS + code, "a module")) == []


def list_imports(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_requests_and_urllib3_are_imported_in_etl_http_alone() -> None:
    importers = {
        path.parent.relative_to(ROOT)
        for path in list_modules(*PACKAGES)
        for name in list_imports(path.read_text())
        if name.split(".")[0] in ("requests", "urllib3")
    }
    assert {str(folder) for folder in importers} == {"etl/http"}
