"""Law 4, for what vanished: what a complete read lacked is removed, and nothing else is."""

from tests.laws.seeding import Mistake, drop

REMOVALS = "tests/laws/test_removals.py::"

MISTAKES = (
    Mistake(
        4,
        "a removal after a read whose end is not proven",
        "etl/pipeline.py",
        (("        return self.content.is_proven and not", "        return not"),),
        caught_by=(f"{REMOVALS}test_a_read_whose_end_is_not_proven_removes_nothing",),
    ),
    Mistake(
        4,
        "a removal by a read that is held",
        "etl/pipeline.py",
        (("        if baseline is None or not baseline.overrules(read.content):\n", "        if False:\n"),),
        caught_by=(f"{REMOVALS}test_a_read_that_lacks_most_records_is_held_and_removes_nothing",),
    ),
    Mistake(
        4,
        "a refused record removed",
        "etl/storage/vanished.py",
        (
            (
                "        excused.rows.add(row[1] for row in stored.values())\n",
                "",
            ),
        ),
        caught_by=(
            f"{REMOVALS}test_a_refused_record_is_present",
            f"{REMOVALS}test_a_discarded_record_that_is_still_refused_is_present",
        ),
    ),
    Mistake(
        4,
        "a removal although a refused record without an id may be the same",
        "etl/removal.py",
        (("    if vanished.count and vanished.unidentified:\n", "    if False:\n"),),
        caught_by=(f"{REMOVALS}test_a_new_refused_record_without_an_id_holds_the_removal",),
    ),
    Mistake(
        4,
        "a record removed that came in an outdated version",
        "etl/change_detection.py",
        (("            batch.outdated.append(version.id)\n", "            pass\n"),),
        caught_by=(f"{REMOVALS}test_a_record_that_comes_only_in_an_older_version_is_present",),
    ),
    Mistake(
        4,
        "a record removed that the read wrote before it was cut",
        "etl/fence/reads.py",
        (("first_sequence=checkpoint.read_sequence,", "first_sequence=checkpoint.sequence,"),),
        caught_by=(f"{REMOVALS}test_a_cut_read_that_another_run_ends_removes_what_both_lacked",),
    ),
    Mistake(
        4,
        "a record removed twice",
        "etl/storage/vanished.py",
        (
            drop(" AND removed_at IS NULL\n    ORDER BY"),
            ("    WHERE id = ANY(%s) AND removed_at IS NULL\n", "    WHERE id = ANY(%s)\n"),
        ),
        caught_by=(f"{REMOVALS}test_what_is_removed_already_is_not_removed_again",),
    ),
    Mistake(
        4,
        "records that a handed-over run has added, counted as present before",
        "etl/storage/vanished.py",
        (("run.status IN ('queued', 'running')", "run.status = 'running'"),),
        caught_by=(f"{REMOVALS}test_what_a_handed_over_run_has_added_was_not_there_before",),
    ),
    Mistake(
        4,
        "a removed record counted as present",
        "etl/fence/batches.py",
        (("Growth(records=-count,", "Growth(records=0,"),),
        caught_by=(f"{REMOVALS}test_any_batch_size_removes_the_same",),
    ),
    Mistake(
        4,
        "a removal that the change feed does not show",
        "etl/storage/vanished.py",
        (("updated_at = %s, sequence = %s\n", "updated_at = %s, sequence = sequence + 0 * %s\n"),),
        caught_by=(f"{REMOVALS}test_a_removal_has_a_sequence_of_its_own_and_is_a_change_of_the_feed",),
    ),
    Mistake(
        4,
        "a record that returns and stays removed",
        "etl/storage/batch.py",
        (drop(", removed_at = NULL"),),
        caught_by=(f"{REMOVALS}test_a_record_that_returns_changed_writes_a_raw_row",),
    ),
    Mistake(
        4,
        "a record that returns unchanged, not counted as updated",
        "etl/change_detection.py",
        (("(returns or batch.judged.values_hashes", "(batch.judged.values_hashes"),),
        caught_by=(f"{REMOVALS}test_a_record_that_returns_as_it_was_counts_as_updated_and_writes_no_raw_row",),
    ),
)
