"""Law 1: one transaction per batch."""

from tests.laws.seeding import Mistake, after, before, drop

DELIVERY = "tests/laws/test_delivery.py::"
DRIFT = "tests/laws/test_drift_delivery.py::"
WHOLE = "tests/laws/test_one_transaction.py::test_every_commit_leaves_the_counts_that_the_rows_have"
COMMIT_NOW = "cursor.db._commit()"  # the next statement starts another transaction
WRITE_FIRST = f"""
        import datetime
        now = datetime.datetime.now(datetime.UTC)
        write_batch(
            cursor, batch,
            Stamp(claim.source, source.kind, claim.run_id, read.number, read.batch_number + 1, now),
            read.first_sequence,
        )
        {COMMIT_NOW}
"""

MISTAKES = (
    Mistake(
        1,
        "the checkpoint committed before the data",
        "etl/landing.py",
        (before("        if not read.is_begun:\n", f"        {COMMIT_NOW}\n"),),
        caught_by=(
            f"{DELIVERY}test_everything_of_a_failing_batch_is_rolled_back",
            "tests/laws/test_crashes.py::test_killed_at_each_step_runs_lose_and_double_nothing",
        ),
    ),
    Mistake(
        1,
        "the checkpoint committed after the data",
        "etl/landing.py",
        (
            after(
                'its response may be lost."""\n    with bounded_transaction(durable=True) as cursor:\n',
                WRITE_FIRST,
            ),
            ("        refused = write_batch(cursor, batch, stamp, read.first_sequence)", "        refused = 0"),
        ),
        caught_by=(
            f"{DELIVERY}test_an_overtaken_worker_writes_nothing",
            f"{DELIVERY}test_a_worker_whose_lease_has_ended_writes_nothing",
        ),
    ),
    Mistake(
        1,
        "the count of open quarantine kept in a second transaction",
        "etl",
        tuple(
            before(f"        {count}(cursor, ", f"        {COMMIT_NOW}\n")
            for count in ("count_batch", "count_page", "count_opened", "count_settled")
        ),
        caught_by=tuple(f"{WHOLE}[{act}]" for act in ("ingest", "replay", "discard", "settle")),
    ),
    Mistake(
        1,
        "pruned versions counted in a second transaction",
        "etl/pruning.py",
        (before("            run_removal.count_pruned(cursor, of_runs)\n", f"            {COMMIT_NOW}\n"),),
        caught_by=(
            f"{WHOLE}[prune_all]",
            "tests/test_pruning.py::test_versions_and_their_counts_are_removed_together_or_not_at_all",
        ),
    ),
    Mistake(
        1,
        "drift committed before its run is closed",
        "etl/runs/ending.py",
        (
            after(
                "        changes = _end_what_was_read(cursor, claim, read_end)\n",
                f"        {COMMIT_NOW}\n",
            ),
        ),
        caught_by=(f"{DRIFT}test_a_failing_close_rolls_the_snapshot_back",),
    ),
    Mistake(
        1,
        "a read's shape kept only in memory",
        "etl/fence/batches.py",
        (("read_shape = %(read_shape)s", "read_shape = NULL"),),
        caught_by=(
            f"{DRIFT}test_a_read_cut_by_a_crash_is_judged_as_one_read",
            f"{DRIFT}test_the_shape_is_saved_with_its_batch_and_dropped_with_its_read",
        ),
    ),
    Mistake(
        1,
        "a read's shape saved one batch late",
        "etl/pipeline.py",
        (
            drop("            read = replace(read, shape=prepared.shape)\n"),
            before(
                "            context.note_batch()\n",
                "            read = replace(read, shape=prepared.shape)\n",
            ),
        ),
        caught_by=(f"{DRIFT}test_the_shape_is_saved_with_its_batch_and_dropped_with_its_read",),
    ),
    Mistake(
        1,
        "inserted keys not sorted",
        "etl/storage/batch.py",
        (("in sorted(inserts.items())", "in inserts.items()"),),
        caught_by=(f"{DELIVERY}test_rows_of_a_batch_are_written_in_the_order_of_their_keys",),
    ),
    Mistake(
        1,
        "updated keys not locked in order",
        "etl/storage/batch.py",
        (drop("    cursor.execute(_LOCK_UPDATED)\n"),),
        caught_by=(
            "tests/laws/test_one_transaction.py::test_a_batch_that_waits_for_a_row_has_locked_none_of_a_later_key",
        ),
    ),
)
