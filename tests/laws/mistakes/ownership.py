"""Law 2: the fence keeps the law, not the lock."""

from tests.laws.seeding import Mistake, before, drop

DELIVERY = "tests/laws/test_delivery.py::"
DRIFT = "tests/laws/test_drift_delivery.py::"
OWNERSHIP = "tests/laws/test_ownership.py::"
READING = "tests/laws/reading_process/"
TRANSACTIONS = "tests/storage/test_transactions.py::"
MACHINE = "tests/laws/test_fence_machine.py::"
TRANSACTION = "    with bounded_transaction(durable=True) as cursor:\n"
CANCEL_LOCKS = """\
    with lock_checkpoint(run.source, attempts=PATIENT_ATTEMPTS) as cursor:
        take_turn(cursor, run.source)
"""
LOCK_CHECKPOINT = """\
        cursor.execute("SELECT FROM ingestion_checkpoints WHERE source = %s FOR UPDATE", [run.source])
"""
AS_OWNER = """\
WHERE source = %(source)s AND epoch = %(epoch)s AND batch_number = %(batch_number)s
        AND lease_expires_at > clock_timestamp()
    RETURNING"""
IS_OPEN = "        is_open = Run.objects.select_for_update().filter(pk=run.pk, status__in=OPEN_STATUSES).exists()\n"

MISTAKES = (
    Mistake(
        2,
        "a reading process that outlives its run",
        "etl/reading_process/child.py",
        (("            os._exit(1)\n        os._exit(0)\n", "            os._exit(1)\n"),),
        caught_by=(f"{READING}test_in_runs.py::test_a_reading_process_ends_with_a_run_that_is_killed",),
    ),
    Mistake(
        2,
        "a reading process that waits for ever for a frozen run",
        "etl/reading_process/child.py",
        (("self.poll.poll(self.patience_ms)", "self.poll.poll()"), ("timeout=self.patience_seconds", "timeout=None")),
        caught_by=(f"{READING}test_lost_processes.py::test_a_run_that_takes_nothing_for_long_gets_another_one",),
    ),
    Mistake(
        2,
        "no fence",
        "etl/fence/batches.py",
        (
            (
                AS_OWNER,
                "WHERE source = %(source)s\n    RETURNING",
            ),
        ),
        caught_by=(
            f"{DELIVERY}test_a_worker_whose_lease_has_ended_writes_nothing",
            f"{DELIVERY}test_the_same_batch_twice_lands_once",
        ),
    ),
    Mistake(
        2,
        "no epoch, in the fence and in the run's counters",
        "etl",
        (
            (
                "AND epoch = %(epoch)s AND batch_number = %(batch_number)s\n        AND lease_expires_at",
                "AND batch_number = %(batch_number)s\n        AND lease_expires_at",
            ),
            (" WHERE id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'", " WHERE id = %(run_id)s"),
        ),
        caught_by=(
            f"{DELIVERY}test_an_overtaken_worker_writes_nothing",
            f"{MACHINE}test_any_story_of_claims_batches_crashes_and_freezes_lands_each_record_once",
        ),
    ),
    Mistake(
        2,
        "a fence without batch number",
        "etl/fence/batches.py",
        ((" AND batch_number = %(batch_number)s\n", "\n"),),
        caught_by=(
            f"{DELIVERY}test_the_same_batch_twice_lands_once",
            f"{DELIVERY}test_a_commit_whose_answer_was_lost_is_not_sent_again",
        ),
    ),
    Mistake(
        2,
        "a commit whose answer was lost, taken for a refused one",
        "etl/fence/batches.py",
        (
            (
                "    if cursor.fetchone() is None:\n        raise_if_overtaken",
                "    if True:\n        raise_if_overtaken",
            ),
        ),
        caught_by=(
            f"{DELIVERY}test_a_commit_whose_answer_was_lost_is_not_sent_again",
            f"{DELIVERY}test_the_run_ends_well_no_matter_which_commit_loses_its_response[batch]",
        ),
    ),
    Mistake(
        2,
        "a retry on the broken connection",
        "etl/storage/transactions.py",
        (drop("            _drop_broken_connection(error)\n"),),
        caught_by=(f"{TRANSACTIONS}test_a_session_that_is_ended_between_two_statements_is_replaced",),
    ),
    Mistake(
        2,
        "a claim that does not close the older run",
        "etl/runs/starting.py",
        (("    resumes_full = end_predecessor(cursor, source, trigger, options)\n", "    resumes_full = False\n"),),
        caught_by=(f"{DELIVERY}test_a_claim_closes_the_older_run_and_raises_the_epoch",),
    ),
    Mistake(
        2,
        "drift written outside the fence",
        "etl/runs/ending.py",
        (
            ("    return _note_drift(claim, read_end) if read_end.is_accepted else []\n", "    return []\n"),
            before(
                f"{TRANSACTION}        if not claims.release(",
                "    if isinstance(read_end, ReadEnd):\n        _note_drift(claim, read_end)\n",
            ),
        ),
        caught_by=(
            f"{DRIFT}test_an_overtaken_worker_writes_no_snapshot",
            f"{DRIFT}test_a_worker_whose_lease_has_ended_writes_no_snapshot",
        ),
    ),
    Mistake(
        2,
        "a cancelled run that keeps its epoch",
        "etl/runs/interventions.py",
        (drop("            claims.revoke_from_run(cursor, run.source, run.pk)\n"),),
        caught_by=("tests/runs/test_cancel.py::test_cancelling_frees_the_source_at_once_and_for_a_new_epoch",),
    ),
    Mistake(
        2,
        "a released source that keeps its owner and epoch",
        "etl/runs/interventions.py",
        (drop("        claims.revoke_from_any_run(cursor, source)\n"),),
        caught_by=(f"{OWNERSHIP}test_a_released_source_is_free_and_its_epoch_is_over",),
    ),
    Mistake(
        2,
        "a swept run that keeps its epoch",
        "etl/runs/attempts.py",
        (("if stale is not None and claims.revoke(cursor, source):", "if stale is not None:"),),
        caught_by=(f"{OWNERSHIP}test_the_sweeper_leaves_a_run_alone_whose_lease_lives",),
    ),
    Mistake(
        2,
        "a sweeper that does not look at the heartbeat",
        "etl/runs/attempts.py",
        (("filter(has_stopped, source=source", "filter(source=source"),),
        caught_by=(f"{OWNERSHIP}test_the_sweeper_leaves_a_run_alone_whose_heartbeat_is_fresh",),
    ),
    Mistake(
        2,
        "an owner known by its process number alone",
        "etl/fence",
        (
            drop("\n        AND coalesce(session.backend_start, owner_backend_start) = owner_backend_start"),
            (" AND session.backend_start = checkpoint.owner_backend_start)", ")"),
        ),
        caught_by=(
            f"{OWNERSHIP}test_a_session_with_the_number_of_a_dead_owner_owns_nothing",
            f"{OWNERSHIP}test_a_session_with_the_number_of_a_dead_owner_is_not_ended",
        ),
    ),
    Mistake(
        2,
        "a transaction that may stand idle for ever",
        "etl/storage/transactions.py",
        (drop('        "idle_in_transaction_session_timeout": f"{round(idle_seconds * 1000)}ms",\n'),),
        caught_by=(f"{OWNERSHIP}test_a_process_that_freezes_inside_its_claim_keeps_nobody_out",),
    ),
    Mistake(
        2,
        "a transaction that sees only what was committed before it began",
        "etl/storage/transactions.py",
        (drop('        "transaction_isolation": "read committed",\n'),),
        caught_by=(f"{TRANSACTIONS}test_a_transaction_sees_what_others_have_committed_whatever_the_default_is",),
    ),
    Mistake(
        2,
        "a cancel that locks the run before the checkpoint",
        "etl/runs/interventions.py",
        (
            (
                f"{CANCEL_LOCKS}{IS_OPEN}",
                f"    with lock_checkpoint('no source') as cursor:\n{IS_OPEN}{LOCK_CHECKPOINT}",
            ),
        ),
        caught_by=(f"{OWNERSHIP}test_a_cancel_that_waits_for_a_batch_has_not_locked_its_run",),
    ),
    Mistake(
        2,
        "a source that has never run, and is not locked",
        "etl/fence/locking.py",
        (("        while not _lock(cursor, source):\n", "        if not _lock(cursor, source) and for_claim:\n"),),
        caught_by=("tests/runs/test_cancel.py::test_no_first_run_starts_while_its_source_is_locked",),
    ),
    Mistake(
        2,
        "a renewal that waits for the lock of the row",
        "etl/fence/claims.py",
        (("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),),
        caught_by=(f"{OWNERSHIP}test_a_renewal_does_not_wait_for_the_lock_of_the_row",),
    ),
    Mistake(
        2,
        "a renewal that revives an ended lease",
        "etl/fence/claims.py",
        ((" AND lease_expires_at > clock_timestamp()\n        FOR UPDATE", "\n        FOR UPDATE"),),
        caught_by=(f"{OWNERSHIP}test_a_lease_that_has_ended_is_not_renewed",),
    ),
    Mistake(
        2,
        "a checkpoint written by a module outside the fence",
        "etl/supervision/lease.py",
        (
            (
                "claims.end_lease(cursor, self.claim)",
                "cursor.execute('UPDATE ingestion_checkpoints SET lease_expires_at = NULL')",
            ),
        ),
        caught_by=("tests/laws/test_writers.py::test_each_table_is_written_by_its_writers_alone",),
    ),
    Mistake(
        2,
        "nothing starts without Redis",
        "etl/fence/redis_lock.py",
        (
            (
                "            self._warn(error)\n            return False\n",
                "            self._warn(error)\n            return True\n",
            ),
        ),
        caught_by=(f"{OWNERSHIP}test_without_redis_a_queued_run_is_executed",),
    ),
)
