"""Laws 1, 4 and 14 with a team's own model as the target."""

from tests.laws.seeding import Mistake

LANDING = "tests/targets/test_landing.py::"
RACES = "tests/targets/test_races.py::"
DRY_RUN = "tests/targets/test_dry_run.py::"
KINDS = "tests/targets/test_kinds.py::"
CHANGES = f"{KINDS}test_a_model_that_changes_fails_the_run_unless_records_can_land"
ANY_ORDER = f"{RACES}test_a_team_that_takes_locks_in_any_order_is_never_the_victim_of_a_deadlock"
VANISHED = "tests/targets/test_vanished.py::"
ODD = "tests/targets/test_odd_tables.py::"
WAITING = "tests/targets/test_waiting.py::"
GOES_ON = "test_a_run_that_goes_on_elsewhere_knows_that_its_refused_records_only_wait"
KEPT = (
    "    kept = [place for place, index in enumerate(batch.versions) if index not in refused]\n"
    "    places = {place: number for number, place in enumerate(kept)}\n"
)
LEFT = (
    "    kept = [*range(len(batch.versions))]\n"
    "    places = {place: place for place in kept if batch.versions[place] not in refused}\n"
)

MISTAKES = (
    Mistake(
        1,
        "raw left from a record that the target refuses",
        "etl/change_detection.py",
        ((KEPT, LEFT),),
        caught_by=(f"{LANDING}test_each_bad_record_is_refused_alone[insert-100]",),
    ),
    Mistake(
        4,
        "an insert that failed taken for one of all rows",
        "etl/storage/target_rows.py",
        (("                raise\n            return False\n", "                raise\n            return True\n"),),
        caught_by=(f"{LANDING}test_conflicts_are_provided_for_only_after_a_batch_that_had_some",),
    ),
    Mistake(
        4,
        "a violation that costs its batch",
        "etl/storage/target_rows.py",
        (("            if len(numbers) == 1:\n", "            if len(numbers) != 0:\n"),),
        caught_by=(f"{LANDING}test_a_trigger_that_refuses_one_row_refuses_its_record",),
    ),
    Mistake(
        4,
        "a row that a trigger drops counted as landed",
        "etl/storage/target_rows.py",
        (("etl_why = %s WHERE {condition}", "etl_why = %s WHERE {condition} AND false"),),
        caught_by=(f"{KINDS}test_each_kind_of_constraint_refuses_one_record_by_its_name[insert-new-1000]",),
    ),
    Mistake(
        4,
        "a model that changes in the middle of a run",
        "etl/storage/target_rows.py",
        (("    require_table(plan, table)\n", ""),),
        caught_by=(f"{CHANGES}[a_text_narrowed-in_the_middle_of_a_run]",),
    ),
    Mistake(
        6,
        "a repeated record dropped with the one that the target refuses",
        "etl/landing.py",
        (("    if any(counts[batch.judged.external_ids[row]] > 1 for row in rows):\n", "    if not counts:\n"),),
        caught_by=(f"{LANDING}test_of_two_records_with_an_id_the_first_that_the_target_takes_counts[insert-100]",),
    ),
    Mistake(
        4,
        "a waiting record settled without being landed",
        "etl/storage/waiting_versions.py",
        (("            newer |= {row_id} if is_older else set()\n", "            newer |= set()\n"),),
        caught_by=(
            f"{WAITING}test_a_waiting_version_that_is_newer_than_the_stored_one_replaces_it_however_long_it_waited",
        ),
    ),
    Mistake(
        6,
        "a waiting record that lands although a newer version of it is refused",
        "etl/replay.py",
        (("    outdated = find_outdated(source.name, waiting, read_number)\n", "    outdated: set[int] = set()\n"),),
        caught_by=(f"{WAITING}test_a_waiting_version_does_not_land_while_a_newer_one_is_refused",),
    ),
    Mistake(
        6,
        "a record dropped with the one before it that the target refuses in a replay",
        "etl/replay.py",
        (("    if source.target is not None and len(items)", "    if source.target is None and len(items)"),),
        caught_by=(f"{WAITING}test_of_two_records_with_an_id_in_one_read_the_first_that_the_target_takes_counts[100]",),
    ),
    Mistake(
        3,
        "one lease for all sources whose records wait",
        "etl/runs/arrivals.py",
        (('    name = f"{task_leases.ARRIVALS} {source.name}"\n', "    name = task_leases.ARRIVALS\n"),),
        caught_by=(f"{WAITING}test_a_source_whose_look_fails_or_takes_too_long_keeps_no_other_waiting",),
    ),
    Mistake(
        9,
        "a waiting record counted as a broken one",
        "etl/fence/reads.py",
        (("        return self.quarantined - self.waiting\n", "        return self.quarantined\n"),),
        caught_by=(f"{WAITING}test_waiting_records_are_counted_but_not_as_broken_ones[0-parents_missing-100]",),
    ),
    Mistake(
        9,
        "a replay that forgets in the next task that its records only wait",
        "etl/replay.py",
        ((", run.quarantined, run.waiting\n", ", run.quarantined, 0\n"),),
        caught_by=(f"{WAITING}{GOES_ON}[as_a_replay-2.csv-1,50-parents_missing]",),
    ),
    Mistake(
        9,
        "a run over files that forgets in the next task what it has read",
        "etl/file_pipeline.py",
        (("_Tally(has_read=has_read,", "_Tally(has_read=False,"),),
        caught_by=("tests/laws/test_files.py::test_a_run_that_is_handed_over_after_its_last_file_has_still_read_it",),
    ),
    Mistake(
        9,
        "a run over files that forgets in the next task that its records only wait",
        "etl/file_pipeline.py",
        (("quarantined=run.quarantined, waiting=run.waiting)", "quarantined=run.quarantined)"),),
        caught_by=(f"{WAITING}{GOES_ON}[in_other_tasks-*.csv-1,50-parents_missing]",),
    ),
    Mistake(
        14,
        "a column of the team's written",
        "etl/readers/target_plan.py",
        (("        return [name for name in self.filled if name not in first]\n", "        return self.filled\n"),),
        caught_by=(f"{LANDING}test_only_what_differs_is_written_and_the_teams_columns_stay[100]",),
    ),
    Mistake(
        14,
        "data in the code that startsource runs",
        "etl/guessing/modules.py",
        (("# {write_value(key)}: {reason}", "# {key}: {reason}"),),
        caught_by=(
            "tests/test_startsource.py::test_a_name_in_the_data_is_not_executed",
            "tests/test_startsource.py::test_what_json_says_stands_in_the_source_only_as_a_literal",
        ),
    ),
    Mistake(
        14,
        "an encoded secret stored in the state of a walk",
        "etl/http/hidden_states.py",
        (("{write_spellings(secrets[number])})", "{re.escape(secrets[number])})"),),
        caught_by=("tests/http/test_hidden_states.py::test_no_mixed_spelling_of_a_secret_is_stored",),
    ),
    Mistake(
        14,
        "a limit of the team's model that the contract ignores",
        "etl/readers/model_types.py",
        (("for limit in (field.max_length, *own)", "for limit in (field.max_length,)"),),
        caught_by=("tests/targets/test_declaration.py::test_a_type_accepts_what_its_column_can_hold_and_nothing_else",),
    ),
    Mistake(
        14,
        "a parent of the team's judged as the file has it",
        "etl/storage/target_parents.py",
        (("{kept if each.is_first else found}", "{found}"),),
        caught_by=(f"{LANDING}test_a_parent_that_is_the_teams_is_judged_as_the_row_has_it",),
    ),
    Mistake(
        14,
        "a parent that is not locked",
        "etl/storage/target_parents.py",
        (("ORDER BY {pk} FOR KEY SHARE\n", "ORDER BY {pk}\n"),),
        caught_by=(f"{RACES}test_a_parent_that_the_team_deletes_meanwhile_is_missing",),
    ),
    Mistake(
        14,
        "a row that the team deleted and that comes back",
        "etl/storage/target_batch.py",
        (("SELECT id, CASE WHEN target = %s THEN target_key END,", "SELECT id, CASE WHEN target = %s THEN NULL END,"),),
        caught_by=(f"{LANDING}test_a_row_that_the_team_deleted_stays_deleted",),
    ),
    Mistake(
        14,
        "a dry run that is not undone",
        "etl/storage/target_trial.py",
        (("        connection.set_rollback(True)\n", "        connection.set_rollback(False)\n"),),
        caught_by=(f"{DRY_RUN}test_it_leaves_no_row_no_number_of_a_sequence_and_no_lock",),
    ),
    Mistake(
        14,
        "a batch that keeps its locks while it waits for the team",
        "etl/storage/short_waits.py",
        (("SHORT_WAIT_SECONDS = 0.1\n", "SHORT_WAIT_SECONDS = 5\n"),),
        caught_by=(f"{ANY_ORDER}[two_rows_in_another_order]",),
    ),
    Mistake(
        14,
        "a vanished record that takes the row of a present one",
        "etl/storage/target_removal.py",
        (("other.removed_at IS NULL AND", "other.removed_at IS NOT NULL AND"),),
        caught_by=(f"{VANISHED}test_a_row_stays_if_its_record_has_another_id_now",),
    ),
    Mistake(
        14,
        "a change that a trigger drops counted as landed",
        "etl/storage/target_rows.py",
        (("        if not self.table.has_triggers:\n", "        if True:\n"),),
        caught_by=(f"{ODD}test_a_change_that_a_trigger_drops_is_refused",),
    ),
    Mistake(
        4,
        "a new row that is kept out, and counted as landed",
        "etl/storage/target_rows.py",
        (("        self.kept_out = []  # what was kept out of an INSERT is another matter\n", ""),),
        caught_by=(f"{ODD}test_a_new_row_that_another_keeps_out_stays_refused_beside_an_adopted_one",),
    ),
    Mistake(
        14,
        "a row that is refused for what the database would fill in",
        "etl/storage/target_rows.py",
        (('else f"(etl_found AND {broken})"', "else broken"),),
        caught_by=(f"{ODD}test_a_check_refuses_what_the_table_refuses_and_nothing_else",),
    ),
    Mistake(
        14,
        "a row that is refused although a trigger would mend it",
        "etl/storage/target_rows.py",
        (("            self.broken = broken\n", "            self.broken = []\n"),),
        caught_by=(f"{ODD}test_a_trigger_may_mend_a_row_that_breaks_a_check",),
    ),
)
