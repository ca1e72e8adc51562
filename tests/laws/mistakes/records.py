"""Laws 4, 5 and 6: nothing disappears, the same content again writes nothing, one version of an id counts."""

from tests.laws.seeding import Mistake, after, drop

AGAIN = "tests/laws/test_any_order.py::test_a_record_that_comes_again_in_its_place_is_a_duplicate"
CLASSES = "tests/test_change_detection.py::"
DELIVERY = "tests/laws/test_delivery.py::"
PRUNING = "tests/test_pruning.py::"
REPLAY = "tests/test_replay.py::"
SETTLEMENT = "tests/test_settlement.py::"
TOTALS = "tests/storage/test_totals.py::"

SAME = "tests/laws/test_same_content.py::"
SKIPPING = "tests/laws/test_skipping.py::"
OWN_CODE = "tests/readers/test_own_code.py::"

MISTAKES = (
    Mistake(
        4,
        "skipped records counted as duplicates",
        "etl/change_detection.py",
        (("self.counters.skipped = self.judged.skipped", "self.counters.duplicate = self.judged.skipped"),),
        caught_by=(f"{SKIPPING}test_what_is_not_wanted_is_counted_and_kept_nowhere[1]",),
    ),
    Mistake(
        4,
        "a record that is skipped and stored all the same",
        "etl/column_judgement.py",
        (("    left_out = sorted(breaches.keys() | unwanted)\n", "    left_out = sorted(breaches)\n"),),
        caught_by=(f"{SKIPPING}test_what_is_not_wanted_is_counted_and_kept_nowhere[1]",),
    ),
    Mistake(
        13,
        "an exception of own code that ends the run",
        "etl/readers/source.py",
        (('            return refuse_raised(error, "unify", self.unify)\n', "            raise\n"),),
        caught_by=(f"{SKIPPING}test_own_code_that_raises_refuses_its_record_and_the_others_land",),
    ),
    Mistake(
        13,
        "an exception of an own field type that ends the run",
        "etl/contracts/own_types.py",
        (('        return refuse_raised(error, f"can\'t be parsed: {name}", called)\n', "        raise\n"),),
        caught_by=(f"{OWN_CODE}test_what_an_own_type_raises_or_returns_refuses_its_record",),
    ),
    Mistake(
        13,
        "what an own field type returns is not checked",
        "etl/contracts/own_types.py",
        (("if result is None or (is_class(parsed) and not isinstance(result, parsed)):", "if False:"),),
        caught_by=(f"{OWN_CODE}test_what_an_own_type_raises_or_returns_refuses_its_record",),
    ),
    Mistake(
        13,
        "the text of an exception shown",
        "etl/contracts/own_code.py",
        (("f\"{what} raised {name}{place and f' at {place}'}\"", 'f"{what} raised {name}: {error}"'),),
        caught_by=(f"{OWN_CODE}test_no_text_of_an_exception_and_no_path_is_shown",),
    ),
    Mistake(
        13,
        "an error of the run taken for one of the record",
        "etl/contracts/own_code.py",
        (("    if ends_run(error):\n        raise error\n", ""),),
        caught_by=(f"{OWN_CODE}test_what_ends_the_run_is_not_taken_for_a_refusal[error2-unify]",),
    ),
    Mistake(
        4,
        "duplicates that are not counted",
        "etl/change_detection.py",
        (("        batch.counters.duplicate += 1\n", "        pass\n"),),
        caught_by=(
            f"{CLASSES}test_every_record_is_counted_once",
            f"{DELIVERY}test_every_batch_size_gives_the_same_tables_and_totals",
        ),
    ),
    Mistake(
        4,
        "a refused record that is counted and not kept",
        "etl/storage/batch.py",
        (
            (
                "    return write_refusals(cursor, refusals, stamp, late, is_backward=batch.judged.is_backward)\n",
                "    return 0\n",
            ),
        ),
        caught_by=(f"{DELIVERY}test_equal_refused_records_share_the_row_of_the_first_place",),
    ),
    Mistake(
        4,
        "a line count that is off by one after a byte order mark",
        "etl/readers/csv_lines.py",
        (("        self.go_to(self.start, 0)\n", "        self.go_to(self.start, 1 if self.start else 0)\n"),),
        caught_by=("tests/readers/test_csv_file.py::test_byte_order_mark_moves_no_line_and_no_cursor",),
    ),
    Mistake(
        4,
        "a line end found within a character of UTF-16",
        "etl/readers/physical_lines.py",
        (("        while at % self.encoding.width and at >= 0:\n", "        while False:\n"),),
        caught_by=("tests/readers/test_dialects.py::test_an_option_means_what_it_says",),
    ),
    Mistake(
        4,
        "a cell after the last column dropped although it has a value",
        "etl/readers/csv_syntax.py",
        ((" and not any(row[width:]) else None", " else None"),),
        caught_by=("tests/readers/test_dialects.py::test_an_option_means_what_it_says",),
    ),
    Mistake(
        4,
        "a comment found within a quoted value",
        "etl/readers/csv_bulk.py",
        ((" and number == (ends[-1] if ends else 0)\n", "\n"),),
        caught_by=("tests/readers/test_dialects.py::test_an_option_means_what_it_says",),
    ),
    Mistake(
        4,
        "a line break in quotes that moves the places after it",
        "etl/readers/csv_bulk.py",
        (("        if len(rows) == len(lines):\n", "        if rows:\n"),),
        caught_by=("tests/readers/test_csv_bulk.py::test_any_bytes_give_the_same_read_together_as_one_by_one",),
    ),
    Mistake(
        4,
        "the text of another record, where few of a slice are written",
        "etl/column_judgement.py",
        (("make_record(row).payload for row in rows]", "make_record(row).payload for row in range(len(rows))]"),),
        caught_by=("tests/test_preparation.py::test_any_csv_is_prepared_in_columns_as_record_by_record",),
    ),
    Mistake(
        4,
        "a phantom kept open",
        "etl/storage/refusal_states.py",
        (("    return GONE if is_whole and status is OPEN else status\n", "    return status\n"),),
        caught_by=(
            f"{SETTLEMENT}test_a_refused_record_that_a_whole_read_lacks_is_gone",
            f"{SETTLEMENT}test_any_reads_leave_the_states_that_the_model_has",
        ),
    ),
    Mistake(
        4,
        "a refusal closed by a record that was accepted before it",
        "etl/storage/refusal_states.py",
        (("external_id in accepted and row_id not in late,", "external_id in accepted,"),),
        caught_by=(
            f"{SETTLEMENT}test_a_refused_record_stays_open_when_its_id_was_accepted_before_in_the_read",
            f"{SETTLEMENT}test_any_reads_leave_the_states_that_the_model_has",
        ),
    ),
    Mistake(
        4,
        "a record that came back and stays gone",
        "etl/storage/refusal_states.py",
        (("AND status IN ('landed', 'gone', 'replayed')", "AND status IN ('landed', 'replayed')"),),
        caught_by=(f"{SETTLEMENT}test_a_record_that_comes_back_opens_again_with_the_read_that_found_it[gone]",),
    ),
    Mistake(
        4,
        "a replayed record that was discarded meanwhile",
        "etl/landing.py",
        (("        if opened is None:\n", "        opened = opened or set()\n        if False:\n"),),
        caught_by=(f"{REPLAY}test_a_record_that_is_discarded_while_its_page_is_prepared_does_not_land",),
    ),
    Mistake(
        4,
        "a pruned version that a unified record points to",
        "etl/storage/pruning.py",
        (("AND record.raw_id = old.id)\n", "AND record.raw_id = 0)\n"),),
        caught_by=(f"{PRUNING}test_the_version_that_a_unified_record_points_to_stays",),
    ),
    Mistake(
        4,
        "a pruned run of which records are left",
        "etl",
        (
            (
                'run_id not in kept and left == self.foreseen_of_run["raw"][run_id] and not',
                "run_id not in kept and not",
            ),
            ('going.filter(pruned_raw=F("versions"))', "going"),
        ),
        caught_by=(f"{PRUNING}test_runs_are_removed_after_their_records",),
    ),
    Mistake(
        4,
        "a pruned refusal that its source still sends",
        "etl/storage/pruning.py",
        (("return find_met(cursor, source, row[0], ids) if row is not None else set()", "return set()"),),
        caught_by=(f"{PRUNING}test_a_discarded_record_that_is_still_sent_does_not_come_back",),
    ),
    Mistake(
        4,
        "totals that fall with what is deleted",
        "etl/migrations/0011_total_triggers.py",
        (
            drop("            value = kept.value + EXCLUDED.value,\n"),
            (
                "            pruned = kept.pruned + EXCLUDED.pruned,\n",
                "            value = kept.value + EXCLUDED.value - EXCLUDED.pruned,\n",
            ),
        ),
        caught_by=(f"{TOTALS}test_totals_do_not_fall_when_rows_are_deleted", f"{PRUNING}test_totals_do_not_fall"),
    ),
    Mistake(
        4,
        "retries lost with their run",
        "etl/migrations/0011_total_triggers.py",
        (drop(" {RETRIES_OF_LOST_RUNS}"),),
        caught_by=(f"{TOTALS}test_totals_do_not_fall_when_rows_are_deleted",),
    ),
    Mistake(
        5,
        "the same content read again",
        "etl/pipeline.py",
        (
            (
                "    return not read.is_full and not checkpoint.is_reading and read.fingerprint",
                "    return False and read.fingerprint",
            ),
        ),
        caught_by=(f"{DELIVERY}test_the_same_content_again_writes_nothing",),
    ),
    Mistake(
        5,
        "an unchanged record written again",
        "etl/change_detection.py",
        (
            (
                "    if not is_same_content(batch.judged.content_hashes[index], version.content_hash):\n",
                "    if True:\n",
            ),
        ),
        caught_by=(
            f"{CLASSES}test_same_content_again_is_unchanged_and_writes_nothing",
            f"{DELIVERY}test_the_same_content_again_writes_nothing",
        ),
    ),
    Mistake(
        5,
        "a raw record written for another mapping",
        "etl/change_detection.py",
        (("        _rewrite(batch, index, version.raw_id, version)\n", "        _replace(batch, index, version)\n"),),
        caught_by=(
            f"{CLASSES}test_corrected_mapping_writes_no_raw_record_and_counts_the_record_as_met",
            f"{DELIVERY}test_another_mapping_writes_the_target_and_no_raw_record",
        ),
    ),
    Mistake(
        5,
        "a content hash that depends on the contract",
        "etl/column_judgement.py",
        (
            after(
                "    (contents, tags), rows = rule.list_contents(part), range(len(part))\n",
                "    contents = [content + source.digest().encode() for content in contents]\n",
            ),
        ),
        caught_by=(f"{DELIVERY}test_another_contract_writes_nothing",),
    ),
    Mistake(
        5,
        "a hash that depends on the order of keys",
        "etl/readers/canonical.py",
        (drop("sort_keys=True, "),),
        caught_by=(f"{CLASSES}test_order_of_keys_does_not_matter",),
    ),
    Mistake(
        5,
        "a refused record kept once more with each read",
        "etl/storage/refusals.py",
        (("in first.items() if sha256 not in ids]", "in first.items()]"),),
        caught_by=(f"{DELIVERY}test_the_same_content_again_writes_nothing",),
    ),
    Mistake(
        5,
        "an ignored column that counts all the same",
        "etl/readers/content_rule.py",
        (("        return frozenset(find_columns(wanted, names).values())\n", "        return frozenset()\n"),),
        caught_by=(f"{SAME}test_another_value_of_an_ignored_column_alone_writes_nothing[IgnoringTable-make_table-1]",),
    ),
    Mistake(
        5,
        "a refused record that is another one with each value of an ignored column",
        "etl/readers/content_rule.py",
        ((' if self.knows_by_content else b""\n', ' if not self else b""\n'),),
        caught_by=(f"{SAME}test_another_value_of_an_ignored_column_alone_writes_nothing[IgnoringTable-make_table-1]",),
    ),
    Mistake(
        5,
        "a refused record by another rule, taken for another one",
        "etl/storage/former_refusals.py",
        (("    if not refusals or source.takes_origin:", "    if refusals or source.takes_origin:"),),
        caught_by=(f"{SAME}test_another_declaration_of_the_same_content_writes_nothing[declared_for_CSV]",),
    ),
    Mistake(
        5,
        "another spelling of a column, taken for another column",
        "etl/readers/content_rule.py",
        (("if name != declared}\n", "if not name}\n"),),
        caught_by=(f"{SAME}test_another_declaration_of_the_same_content_writes_nothing[another_spelling]",),
    ),
    Mistake(
        5,
        "a hash by another rule, taken for another content",
        "etl/storage/former_rules.py",
        (("not is_same_content(row[2], sent) and has_other_rule(row[2], sent)", "False"),),
        caught_by=(f"{SAME}test_another_declaration_of_the_same_content_writes_nothing[declared_for_CSV]",),
    ),
    Mistake(
        6,
        "blocks that are read from the beginning, for a source whose last record counts",
        "etl/readers/backward.py",
        (("    for block in reversed(blocks):\n", "    for block in blocks:\n"),),
        caught_by=(
            "tests/readers/test_backward.py::test_the_items_are_those_of_the_content_in_the_opposite_order",
            "tests/readers/test_backward.py::test_the_first_record_met_is_the_last_one_of_its_id",
        ),
    ),
    Mistake(
        6,
        "records of a block in the order of the file, for a source whose last record counts",
        "etl/readers/backward.py",
        (("            self.slices.append(BackwardSlice(part))\n", "            self.slices.append(part)\n"),),
        caught_by=("tests/readers/test_backward.py::test_the_first_record_met_is_the_last_one_of_its_id",),
    ),
    Mistake(
        6,
        "a refused record settled by the order of the read, not of the file",
        "etl/storage/refusals.py",
        (
            (
                "if (refusal.is_late or refusal.external_id in late) is not is_backward\n",
                "if refusal.is_late or refusal.external_id in late\n",
            ),
        ),
        caught_by=("tests/laws/test_keep_last.py::test_a_refused_record_is_settled_by_the_order_of_the_file",),
    ),
    Mistake(
        6,
        "an id of several fields that two records may share",
        "etl/readers/mapping.py",
        (
            (
                "    return text.replace(ESCAPE, ESCAPE * 2).replace(SEPARATOR, ESCAPE + SEPARATOR)\n",
                "    return text\n",
            ),
        ),
        caught_by=(
            "tests/readers/test_mapping.py::test_no_two_different_lists_of_texts_make_one_id[2]",
            "tests/readers/test_mapping.py::test_the_pair_is_the_id",
        ),
    ),
    Mistake(
        6,
        "the last duplicate wins",
        "etl/change_detection.py",
        (("    return version.is_met or (", "    return ("),),
        caught_by=(
            f"{CLASSES}test_first_record_of_a_read_counts_and_later_ones_are_duplicates",
            f"{DELIVERY}test_ids_of_a_read_survive_its_crash",
        ),
    ),
    Mistake(
        6,
        "an older version that overwrites a newer one",
        "etl/change_detection.py",
        (("        return time < stored\n", "        return False\n"),),
        caught_by=(
            f"{CLASSES}test_older_record_than_the_stored_one_is_a_duplicate",
            f"{DELIVERY}test_an_older_record_of_a_later_read_is_a_duplicate",
        ),
    ),
    Mistake(
        6,
        "ids that a crash forgets: the unchanged ones",
        "etl/storage/batch.py",
        (("        mark_met(cursor, stamp.source, stamp.read_number, batch.met)\n", "        pass\n"),),
        caught_by=(f"{DELIVERY}test_ids_of_a_read_survive_its_crash",),
    ),
    Mistake(
        6,
        "ids that a crash forgets: the written ones",
        "etl/storage/ledger.py",
        (("(raw_id in written or is_marked(marks, row_id))", "is_marked(marks, row_id)"),),
        caught_by=(f"{DELIVERY}test_every_batch_size_gives_the_same_tables_and_totals",),
    ),
    Mistake(
        6,
        "a record found by its order and unchanged, although the read has met it",
        "etl/storage",
        (("{*list_marked(marks, self.last_id + 1, end)}", "set[int]()"),),
        caught_by=(f"{AGAIN}[unchanged]",),
    ),
    Mistake(
        6,
        "a record found by its order and unchanged, although the read has written it",
        "etl/storage",
        (("id <= %s AND source = %s AND sequence <= %s", "id <= %s AND source = %s AND %s IS NOT NULL"),),
        caught_by=(f"{AGAIN}[changed]",),
    ),
    Mistake(
        6,
        "a record that a batch sends twice, found by its order and unchanged",
        "etl/storage",
        (("                unchanged.pop(external_id, None)\n", "                pass\n"),),
        caught_by=(f"{AGAIN}[in_one_batch]",),
    ),
    Mistake(
        6,
        "a replay that overwrites whatever is stored",
        "etl/storage/ledger.py",
        (
            (
                "            is_met=not is_removed and (raw_id in written or is_marked(marks, row_id)),\n",
                "            is_met=not is_replay and (raw_id in written or is_marked(marks, row_id)),\n",
            ),
        ),
        caught_by=(f"{REPLAY}test_without_times_a_record_that_the_last_read_accepted_stays",),
    ),
    Mistake(
        6,
        "a replay that takes each record for one of the last read",
        "etl/change_detection.py",
        (drop("    for version in known.values():\n        version.is_met = not version.is_removed\n"),),
        caught_by=(f"{REPLAY}test_without_times_a_record_that_an_older_read_refused_replaces_nothing",),
    ),
    Mistake(
        6,
        "a read that forgets which records it refused",
        "etl/storage/refusals.py",
        (("    mark_met(cursor, source, read_number, list(ids.values()), MarkKind.REFUSAL)\n", ""),),
        caught_by=(f"{REPLAY}test_without_times_a_record_that_the_last_read_refused_replaces_an_older_version",),
    ),
    Mistake(
        6,
        "a reread that takes each record for one of the last read",
        "etl/storage/ledger.py",
        (drop("        written -= find_met(cursor, source.name, read_number, list(written), MarkKind.REREAD)\n"),),
        caught_by=("tests/test_reread.py::test_a_replay_afterwards_knows_what_the_last_read_has_met",),
    ),
    Mistake(
        5,
        "a reread that writes every record",
        "etl/change_detection.py",
        (("        if judged.values_hashes[index] == values_hash:\n", "        if False:\n"),),
        caught_by=(
            "tests/test_reread.py::test_a_second_time_writes_nothing",
            "tests/test_reread.py::test_a_field_that_nothing_maps_writes_nothing",
        ),
    ),
    Mistake(
        6,
        "a replay in the middle of an open read",
        "etl/replay.py",
        (("    if checkpoint.is_reading:\n", "    if False:\n"),),
        caught_by=(
            f"{REPLAY}test_a_replay_in_a_worker_waits_for_an_open_read",
            f"{REPLAY}test_a_replay_in_a_terminal_fails_while_a_read_is_open",
        ),
    ),
)
