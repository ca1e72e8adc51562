"""Law 15: views, tasks and times are safe under any project's settings."""

from tests.laws.seeding import Mistake, drop

FOREIGN = "tests/api/test_foreign.py::"
INSTALLATION = "tests/test_installation.py::"

MISTAKES = (
    Mistake(
        15,
        "a view with the permissions of the project's settings",
        "api/views/base.py",
        (drop("    permission_classes: Sequence[type[BasePermission]] = (MayUse,)\n"),),
        caught_by=(f"{FOREIGN}test_no_method_of_any_address_opens_to_anonymous_clients",),
    ),
    Mistake(
        15,
        "a view with the error handler of the settings",
        "api/views/base.py",
        (("        return errors.handle\n", "        return super().get_exception_handler()\n"),),
        caught_by=(f"{FOREIGN}test_every_view_is_closed_by_its_own_attributes",),
    ),
    Mistake(
        15,
        "a time in the zone of the settings",
        "etl/clock.py",
        (('as_utc(time).isoformat(timespec="microseconds")', 'time.isoformat(timespec="microseconds")'),),
        caught_by=(f"{FOREIGN}test_each_time_in_a_response_is_in_utc_and_of_one_format",),
    ),
    Mistake(
        15,
        "a task that is acknowledged as the settings say",
        "etl/tasks.py",
        (drop('    "acks_late": True,\n'),),
        caught_by=(
            "tests/execution/test_task_options.py::test_each_task_is_acknowledged_late_and_limited_under_any_settings",
        ),
    ),
    Mistake(
        15,
        "an operation inside the transaction of a request",
        "etl/database.py",
        (
            (
                "        view = transaction.non_atomic_requests(alias)(view)\n",
                "        _ = transaction.non_atomic_requests(alias)\n",
            ),
        ),
        caught_by=("tests/test_foreign_project.py::test_everything_works_in_a_foreign_project",),
    ),
    Mistake(
        15,
        "a statement sent to `default` whatever ETL_DATABASE says",
        "etl/reports/known_sources.py",
        (("from etl.database import connection\n", "from django.db import connection\n"),),
        caught_by=("tests/laws/test_database.py::test_no_module_takes_a_connection_or_a_transaction_from_django",),
    ),
    Mistake(
        15,
        "a user looked for in the database of the row that names it",
        "etl/database.py",
        (
            (
                "        return router.db_for_read(model) if found is None and is_of_etl else found\n",
                "        return found\n",
            ),
        ),
        caught_by=("tests/test_foreign_project.py::test_kasparros_tables_may_be_in_another_database",),
    ),
    Mistake(
        15,
        "a task of the project taken for the sweep because of its name",
        "etl/runs/schedule.py",
        (
            (
                "    if _list_entries().filter(task=SWEEP_TASK).exists():\n",
                '    if _list_entries().filter(name="sweep").exists():\n',
            ),
        ),
        caught_by=(f"{INSTALLATION}test_a_sweep_makes_its_missing_entry_and_leaves_the_projects_own",),
    ),
    Mistake(
        15,
        "a task of the project taken for the pruning because of its name",
        "etl/migrations/0015_prune_entry.py",
        (("    if entries.filter(task=TASK).exists():\n", "    if entries.filter(name=NAMES[0]).exists():\n"),),
        caught_by=("tests/test_pruning.py::test_an_entry_of_the_projects_own_named_prune_is_left_alone",),
    ),
    Mistake(
        15,
        "a beat that hangs and counts as alive",
        "etl/supervision/beat_watch.py",
        (("            if time.monotonic() < self._alive_until:\n", "            if self._alive_until:\n"),),
        caught_by=("tests/supervision/test_beat_watch.py::test_a_beat_that_does_not_tick_again_in_time_is_not_alive",),
    ),
    Mistake(
        15,
        "a client of Redis that is closed in its use",
        "etl/supervision/liveness.py",
        (
            ("    client = _connect(", "    _connect("),
            ("        with client.pipeline(", "        with _connect(conf.REDIS_URL).pipeline("),
        ),
        caught_by=(
            "tests/supervision/test_liveness.py::test_a_client_that_another_thread_replaces_keeps_its_connection",
        ),
    ),
    Mistake(
        15,
        "places of a throttle's window used after its end",
        "api/access/places.py",
        (("self.held > 0 and now < self.ends_at", "self.held > 0"),),
        caught_by=(
            "tests/api/test_places.py::test_places_held_at_the_end_of_a_window_are_void[False]",
            "tests/api/test_places.py::test_places_held_at_the_end_of_a_window_are_void[True]",
        ),
    ),
    Mistake(
        15,
        "more places used than a throttle's window has left",
        "api/access/places.py",
        (("    places = min(size, item.amount - (counted - size))\n", "    places = size\n"),),
        caught_by=(
            "tests/api/test_places.py::test_a_process_lets_exactly_the_limit_pass_and_asks_for_few_places",
            "tests/api/test_places.py::test_processes_and_threads_together_let_exactly_the_limit_pass",
        ),
    ),
)
