"""Laws 3 and 7: the run's row is the order, and times come from the database's clock."""

from tests.laws.seeding import Mistake, after, drop

ANNOUNCEMENTS = "tests/runs/test_announcements.py::"
CLOCK = "tests/laws/test_database_clock.py::"
ORDERS = "tests/laws/test_orders.py::"
RUNS = "tests/runs/test_orders.py::"

MISTAKES = (
    Mistake(
        3,
        "a key that is not looked up",
        "etl/runs/orders.py",
        (("    return Run.objects.filter(Q(key=key) | Q(further_keys__key=key)).first()\n", "    return None\n"),),
        caught_by=(f"{RUNS}test_a_key_keeps_its_answer_when_its_run_is_closed",),
    ),
    Mistake(
        3,
        "a key that forgets its answer",
        "etl/runs/orders.py",
        (drop("            RunKey.objects.create(key=key, run=run)\n"),),
        caught_by=(
            f"{RUNS}test_asking_again_while_a_plain_run_waits_gives_that_one",
            f"{RUNS}test_a_key_keeps_its_answer_when_its_run_is_closed",
        ),
    ),
    Mistake(
        3,
        "a message sent before its row is committed",
        "etl/runs/orders.py",
        (("        transaction.on_commit(lambda: send(run.pk))\n", "        send(run.pk)\n"),),
        caught_by=(f"{ORDERS}test_a_message_goes_out_once_its_row_is_committed",),
    ),
    Mistake(
        3,
        "a message that starts a closed run",
        "etl/runs/starting.py",
        (("filter(IS_DUE, pk=run.pk, status=Status.QUEUED)", "filter(IS_DUE, pk=run.pk)"),),
        caught_by=(f"{ORDERS}test_a_message_about_a_run_that_is_closed_starts_nothing",),
    ),
    Mistake(
        3,
        "a sweep that sends no message",
        "etl/execution/sweep.py",
        (drop("    orders.send_waiting()\n"),),
        caught_by=(f"{ORDERS}test_a_lost_message_only_delays_its_run",),
    ),
    Mistake(
        3,
        "a refused start that keeps its message as sent",
        "etl/execution/executor.py",
        (drop("        orders.forget_sending(run.pk)\n"),),
        caught_by=(
            f"{ORDERS}test_a_refused_start_is_sent_for_again_when_the_source_is_free",
            f"{ORDERS}test_the_end_of_a_run_sends_for_what_waits",
        ),
    ),
    Mistake(
        3,
        "the end of a run that wakes nothing that waits",
        "etl/execution/executor.py",
        (
            ("    orders.send_waiting_of(source.name)\n    return describe_run", "    return describe_run"),
            ("    orders.send_waiting_of(source.name)\n\n\ndef _start(", "\n\ndef _start("),
        ),
        caught_by=tuple(
            f"{ORDERS}test_the_end_of_a_run_sends_for_what_waits[execute_in_{place}]"
            for place in ("terminal", "worker")
        ),
    ),
    Mistake(
        3,
        "a cancel that wakes nothing that waits",
        "etl/operations/runs.py",
        (drop("    orders.send_waiting_of(run.source)\n"),),
        caught_by=("tests/runs/test_cancel.py::test_what_waits_for_the_source_is_sent_for",),
    ),
    Mistake(
        3,
        "a run that kills its process, restarted for ever",
        "etl/runs/ending.py",
        (("Reason.GAVE_UP if run.attempt >= MAX_ATTEMPTS else Reason.ABANDONED", "Reason.ABANDONED"),),
        caught_by=(
            f"{ORDERS}test_a_run_that_kills_its_process_is_tried_three_times",
            f"{ANNOUNCEMENTS}test_each_way_to_close_a_run_is_told_once[give_up]",
        ),
    ),
    Mistake(
        3,
        "a successor that is a first attempt again",
        "etl/runs/ending.py",
        (drop("            attempt=run.attempt + 1,\n"),),
        caught_by=(f"{ORDERS}test_a_run_that_kills_its_process_is_tried_three_times",),
    ),
    Mistake(
        3,
        "a waiting run that forgets whose successor it is",
        "etl/runs/orders.py",
        (drop("            Run.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)\n"),),
        caught_by=(f"{ORDERS}test_attempts_count_on_where_the_successor_is_a_run_that_waits",),
    ),
    Mistake(
        3,
        "a closed run announced before its commit",
        "etl/runs/ending.py",
        (("            transaction.on_commit(lambda: announce(run_id))\n", "            announce(run_id)\n"),),
        caught_by=(
            f"{ANNOUNCEMENTS}test_it_is_told_behind_the_commit",
            f"{ANNOUNCEMENTS}test_what_is_rolled_back_is_not_told",
        ),
    ),
    Mistake(
        3,
        "runs of one source closed at the same time",
        "etl/runs/ending.py",
        (drop("    if ending.closes:\n        _take_turn(cursor, source)\n"),),
        caught_by=("tests/runs/test_alerts.py::test_runs_that_fail_at_the_same_time_are_mailed_once",),
    ),
    Mistake(
        7,
        "a heartbeat by the process's clock",
        "etl/runs/starting.py",
        (
            after("import uuid\n", "from datetime import UTC, datetime\n"),
            ('            "heartbeat_at": NOW,\n', '            "heartbeat_at": datetime.now(UTC),\n'),
        ),
        caught_by=(f"{CLOCK}test_no_module_of_the_pipeline_looks_at_its_own_clock[etl/runs/starting.py]",),
    ),
    Mistake(
        7,
        "what is due, by the process's clock",
        "etl/execution/sweep.py",
        (
            after("from django.db import connection\n", "from django.utils import timezone\n"),
            ("find_due(source, read_clock())", "find_due(source, timezone.now())"),
        ),
        caught_by=(f"{CLOCK}test_no_module_of_the_pipeline_looks_at_its_own_clock[etl/execution/sweep.py]",),
    ),
    Mistake(
        7,
        "a lease that counts from the start of its transaction",
        "etl/fence/claims.py",
        (("lease_expires_at = clock_timestamp() + %(lease", "lease_expires_at = now() + %(lease"),),
        caught_by=(f"{CLOCK}test_a_lease_counts_from_when_it_is_given_however_long_its_transaction_has_lasted",),
    ),
)
