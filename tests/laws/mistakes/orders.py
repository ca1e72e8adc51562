"""Laws 3 and 7: the run's row is the order, and times come from the database clock."""

from tests.laws.seeding import Mistake, after, drop

ANNOUNCEMENTS = "tests/runs/test_announcements.py::"
CLOCK = "tests/laws/test_database_clock.py::"
ORDERS = "tests/laws/test_orders.py::"
STANDINGS = "tests/runs/test_standings.py::"
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
        (drop("        RunKey.objects.create(key=key, run=run)\n"),),
        caught_by=(
            f"{RUNS}test_asking_while_a_plain_run_is_queued_gives_that_run",
            f"{RUNS}test_a_key_keeps_its_answer_when_its_run_is_closed",
        ),
    ),
    Mistake(
        3,
        "a message sent before its row is committed",
        "etl/runs/orders.py",
        (("    on_commit(lambda: send(run.pk))\n", "    send(run.pk)\n"),),
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
        (drop('    ("messages to send", _list_messages),\n'),),
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
            ("    orders.send_waiting_of(source.name, wakes_replays=options.selection is None)\n", ""),
            ("        orders.send_waiting_of(source.name, wakes_replays=run.trigger != Trigger.REPLAY)\n", ""),
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
        caught_by=("tests/runs/test_cancel.py::test_cancelling_sends_the_runs_queued_for_the_source",),
    ),
    Mistake(
        3,
        "a run that kills its process, restarted for ever",
        "etl/runs/attempts.py",
        (("Reason.GAVE_UP if run.attempt >= MAX_ATTEMPTS else Reason.ABANDONED", "Reason.ABANDONED"),),
        caught_by=(
            f"{ORDERS}test_a_run_that_kills_its_process_is_tried_three_times",
            f"{ANNOUNCEMENTS}test_each_way_to_close_a_run_is_announced_once[give_up]",
        ),
    ),
    Mistake(
        3,
        "a successor that is a first attempt again",
        "etl/runs/attempts.py",
        (drop("            attempt=run.attempt + 1,\n"),),
        caught_by=(f"{ORDERS}test_a_run_that_kills_its_process_is_tried_three_times",),
    ),
    Mistake(
        3,
        "a waiting run that forgets whose successor it is",
        "etl/runs/orders.py",
        (drop("        Run.objects.filter(pk=run.pk, attempt__lt=attempt).update(attempt=attempt)\n"),),
        caught_by=(f"{ORDERS}test_attempts_count_on_where_the_successor_is_a_run_that_waits",),
    ),
    Mistake(
        3,
        "a closed run announced before its commit",
        "etl/runs/ending.py",
        (("        on_commit(lambda: announce(ended))\n", "        announce(ended)\n"),),
        caught_by=(
            f"{ANNOUNCEMENTS}test_a_close_is_announced_after_the_commit",
            f"{ANNOUNCEMENTS}test_a_close_that_is_rolled_back_is_not_announced",
        ),
    ),
    Mistake(
        3,
        "runs of one source closed at the same time",
        "etl/runs/ending.py",
        (('_CLOSE = f"{_TAKE_TURN}; " + _END', "_CLOSE = _END"),),
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
            after("from functools import partial\n", "\nfrom django.utils import timezone\n"),
            ("    now = read_clock()\n", "    now = timezone.now()\n"),
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
    Mistake(
        3,
        "a request that waits for ever for another one",
        "etl/runs/orders.py",
        (
            (
                "bounded_transaction(lock_seconds=LOCK_SECONDS, idle_seconds=LOCK_SECONDS)",
                "bounded_transaction(lock_seconds=0)",
            ),
        ),
        caught_by=(f"{RUNS}test_the_same_key_gives_the_same_run",),
    ),
    Mistake(
        3,
        "a lost message that is never sent again",
        "etl/runs/orders.py",
        (
            (
                "unsent = Q(sent_at=None) | Q(sent_at__lt=from_now(-conf.ETL_RESEND_SECONDS), sends__lt=MANY_SENDS)",
                "unsent = Q(sent_at=None)",
            ),
        ),
        caught_by=(f"{RUNS}test_a_message_is_sent_again_after_a_while_and_seldom_after_ten",),
    ),
    Mistake(
        3,
        "a sweep that keeps its lease for ever",
        "etl/fence/task_leases.py",
        (("    WHERE etl_task_leases.expires_at <= clock_timestamp()\n        OR", "    WHERE"),),
        caught_by=(f"{RUNS}test_only_one_sweep_at_a_time_and_the_next_one_when_its_lease_is_over",),
    ),
    Mistake(
        3,
        "a sweep that one of its lists stops",
        "etl/execution/sweep.py",
        (
            (
                "            steps = [*list_steps()]\n        except Exception:",
                "            steps = [*list_steps()]\n        except KeyError:",
            ),
        ),
        caught_by=("tests/execution/test_sweep.py::test_a_list_that_can_not_be_made_stops_no_other_step",),
    ),
    Mistake(
        3,
        "a sweep that one source stops",
        "etl/execution/sweep.py",
        (
            (
                '        except Exception:\n            logger.exception("The sweep failed at %s"',
                '        except ValueError:\n            logger.exception("The sweep failed at %s"',
            ),
        ),
        caught_by=(f"{RUNS}test_one_source_whose_sweep_fails_keeps_none_from_the_next",),
    ),
    Mistake(
        3,
        "a queued run that a terminal takes along has no successor",
        "etl/runs/attempts.py",
        (("not run.key.startswith(TERMINAL_KEY)", "not run.at_terminal"),),
        caught_by=(f"{RUNS}test_a_queued_run_that_a_terminal_picks_up_has_a_successor",),
    ),
    Mistake(
        3,
        "a failing source asked at each instant",
        "etl/execution/sweep.py",
        (("    if next_try is None or next_try <= now:\n", "    if True:\n"),),
        caught_by=(
            "tests/runs/test_backoff.py::test_the_schedule_does_not_ask_before_the_next_try_and_the_source_fails",
        ),
    ),
    Mistake(
        3,
        "a cancelled run or a replay that speaks for its source",
        "etl/runs/standings.py",
        ((" AND trigger <> 'replay' AND reason NOT IN ({_STOPPED})", ""),),
        caught_by=(
            f"{STANDINGS}test_a_source_has_the_standing_of_its_case[have_been_cancelled_after_a_success]",
            f"{STANDINGS}test_a_source_has_the_standing_of_its_case[have_been_replayed_after_a_failure]",
        ),
    ),
    Mistake(
        3,
        "a lag that begins again with each due instant",
        "etl/runs/standings.py",
        (("schedule.find_next_due(entry, max(served))", "schedule.find_due_instant(entry, now)"),),
        caught_by=(f"{STANDINGS}test_the_lag_counts_from_the_first_missed_instant_without_a_ceiling",),
    ),
    Mistake(
        3,
        "two alerts per run of a source that fails every other time",
        "etl/runs/alerts.py",
        (("ENOUGH_RUNS = 2\n", "ENOUGH_RUNS = 1\n"),),
        caught_by=("tests/runs/test_alerts.py::test_a_source_that_fails_every_other_time_is_mailed_once",),
    ),
    Mistake(
        3,
        "an alert that a second process sends too",
        "etl/runs/alert_sending.py",
        (("attempts=alert.attempts, next_at=from_now(seconds))", "attempts=alert.attempts)"),),
        caught_by=("tests/runs/test_alert_rows.py::test_an_alert_whose_sender_died_is_sent_by_another",),
    ),
)
