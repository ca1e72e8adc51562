"""Laws 8, 9, 10 and 12: positions, drift and breaches, memory, and unproven ends."""

from tests.laws.seeding import Mistake, after, drop

CLASSES = "tests/test_change_detection.py::"
CLIENT = "tests/http/test_client.py::"
CSV = "tests/readers/test_csv_file.py::"
DELIVERY = "tests/laws/test_delivery.py::"
DRIFT = "tests/laws/test_drift_delivery.py::"
INCREMENTS = "tests/laws/test_increments.py::"
JSON = "tests/readers/test_json_records.py::"
JSON_PATH = "tests/readers/test_json_path.py::"
MEMORY = "tests/laws/test_memory.py::"
CONTAINERS = "tests/readers/test_containers.py::"
PROOF = "tests/laws/test_proof.py::"
READING = "tests/laws/reading_process/"
READS = "tests/laws/test_reads.py::"
WALK = "tests/readers/test_walk.py::"
WALKS = "tests/laws/test_walks.py::"
SHIFTING = "tests/laws/test_shifting_pages.py::"
VERDICTS = "tests/laws/test_verdicts.py::"

MISTAKES = (
    Mistake(
        9,
        "a verdict forgotten at a crash",
        "etl/fence/reads.py",
        (("            quarantined=checkpoint.read_quarantined,\n", "            quarantined=0,\n"),),
        caught_by=(f"{VERDICTS}test_a_verdict_counts_what_landed_before_a_crash",),
    ),
    Mistake(
        9,
        "a verdict that only the first run of a content gets",
        "etl/pipeline.py",
        (("if is_stored else passed.verdict\n", "if is_stored else ()\n"),),
        caught_by=(
            f"{VERDICTS}test_the_verdict_is_repeated_for_the_same_content_and_ends_with_other_content",
            f"{VERDICTS}test_far_fewer_records_are_partial_and_stay_partial",
        ),
    ),
    Mistake(
        9,
        "a held read as the baseline of the next",
        "etl/fence/reads.py",
        (('"is_baseline": end.is_accepted and end.is_whole', '"is_baseline": end.is_whole'),),
        caught_by=(f"{VERDICTS}test_a_shrunken_read_is_no_baseline",),
    ),
    Mistake(
        9,
        "the content of a held read taken for what is stored",
        "etl/fence/reads.py",
        (("is_kept_content = end.is_accepted and not", "is_kept_content = not"),),
        caught_by=(f"{VERDICTS}test_far_fewer_records_are_partial_and_stay_partial",),
    ),
    Mistake(
        8,
        "a second reading process that starts where the first one did",
        "etl/reading_process/choice.py",
        (
            (
                "                    self.cursor, self.shape, has_progressed = prepared.cursor, prepared.shape, True\n",
                "                    has_progressed = True\n",
            ),
        ),
        caught_by=(f"{READING}test_lost_processes.py::test_killed_at_any_moment_another_one_continues",),
    ),
    Mistake(
        8,
        "a reading process that does not know the ids of the run's own batches",
        "etl/reading_process/choice.py",
        (
            (
                "process.begin(Position(self.cursor, self.shape, self.earlier_ids), ",
                "process.begin(Position(self.cursor, self.shape, None if self.earlier_ids is None else []), ",
            ),
        ),
        caught_by=(f"{READING}test_first_batches.py::test_the_rest_knows_the_ids_of_the_first_batches",),
    ),
    Mistake(
        8,
        "a reading process that gets only the last of too many ids",
        "etl/reading_process/choice.py",
        (("                self.earlier_ids = None\n\n", "                self.earlier_ids = []\n\n"),),
        caught_by=(f"{READING}test_first_batches.py::test_too_many_ids_are_left_to_the_database",),
    ),
    Mistake(
        8,
        "a reading process that begins where the run's own batches did",
        "etl/reading_process/choice.py",
        (
            (
                "                self.cursor, self.shape = prepared.cursor, prepared.shape\n",
                "                self.shape = prepared.shape\n",
            ),
        ),
        caught_by=(
            f"{READING}test_first_batches.py::test_the_run_prepares_the_first_batches_while_the_process_starts",
        ),
    ),
    Mistake(
        8,
        "lines of another batch than the one that was lost",
        "etl/reading_process/choice.py",
        (
            (
                "self._secure_lines(prepared.judged)\n",
                "self.cursor = prepared.cursor; self._secure_lines(prepared.judged)\n",
            ),
        ),
        caught_by=(f"{READING}test_lost_processes.py::test_killed_before_it_is_asked_for_lines_they_are_written_here",),
    ),
    Mistake(
        8,
        "two processes that share the place in a file",
        "etl/local_copy.py",
        (
            (
                "        block = os.pread(self._descriptor, len(buffer), self._position)\n",
                "        block = os.read(self._descriptor, len(buffer))\n",
            ),
        ),
        caught_by=(f"{READING}test_same_batches.py::test_a_shared_descriptor_is_read_at_a_position_of_its_own",),
    ),
    Mistake(
        8,
        "other content resumed at the old place",
        "etl/fence/reads.py",
        ((" == file and checkpoint.read_fingerprint == fingerprint\n", " == file\n"),),
        caught_by=(f"{READS}test_a_cut_read_of_other_content_starts_at_its_beginning",),
    ),
    Mistake(
        8,
        "content known by its length alone",
        "etl/local_copy.py",
        (("    return digest.hexdigest(), size\n", "    return str(size), size\n"),),
        caught_by=(f"{CSV}test_fingerprint_is_the_hash_of_the_bytes",),
    ),
    Mistake(
        9,
        "a breach that ends the run",
        "etl",
        (
            (
                "            return refuse(self.source, ",
                "            raise ValueError\n            refuse(self.source, ",
            ),
            (
                "        judged.refusals.append(refuse(source",
                "        raise ValueError\n        judged.refusals.append(refuse(source",
            ),
        ),
        caught_by=(
            f"{CLASSES}test_refused_records_keep_their_place_and_their_original",
            f"{DELIVERY}test_the_run_ends_well_no_matter_which_commit_loses_its_response",
        ),
    ),
    Mistake(
        9,
        "a breach reported from a later field",
        "etl/contracts/contract.py",
        (("            breaches = broken | breaches", "            breaches = breaches | broken"),),
        caught_by=(
            "tests/contracts/test_columns.py::test_of_two_breaches_the_first_in_the_order_of_the_contract_is_reported",
            "tests/test_column_judgement.py::test_columns_give_what_records_give",
        ),
    ),
    Mistake(
        9,
        "a column judged by another row's mask",
        "etl/column_judgement.py",
        (
            (
                "    columns = {target: _drop_rows(column, left_out) for target, column in columns.items()}\n",
                "    columns = {t: _drop_rows(c, [row - 1 for row in left_out]) for t, c in columns.items()}\n",
            ),
        ),
        caught_by=("tests/test_column_judgement.py::test_columns_give_what_records_give",),
    ),
    Mistake(
        9,
        "drift seen in accepted records alone",
        "etl/preparation.py",
        (
            (
                "observe_slices(chunk.slices,",
                "observe([i.record.values for i in self.judge.judge(chunk.items) if hasattr(i, 'unified')],",
            ),
        ),
        caught_by=(f"{DRIFT}test_drift_is_seen_in_records_that_are_refused",),
    ),
    Mistake(
        9,
        "a record made of the inside of a broken element",
        "etl/readers/json_recovery.py",
        (("        if self.brackets.arrays:\n            return False\n", ""),),
        caught_by=(
            "tests/readers/test_json_recovery.py::test_without_an_element_to_trust_all_is_one_refusal_and_the_end_is_not_proven",
        ),
    ),
    Mistake(
        9,
        "a shortcut over broken elements that trusts what the careful scan does not",
        "etl/readers/json_array.py",
        (("        if found is not Ahead.INNER:\n", "        if found:\n"),),
        caught_by=("tests/readers/test_json_shortcut.py::test_both_ways_give_the_same_after_each_kind_of_damage",),
    ),
    Mistake(
        9,
        "an array's end within a broken element taken for the end of all records",
        "etl/readers/json_recovery.py",
        (("        return self.ends_at(_copy_at(self.window, begin + 1))\n", "        return True\n"),),
        caught_by=("tests/readers/test_json_recovery.py::test_a_broken_element_costs_itself",),
    ),
    Mistake(
        9,
        "an array outside of the declared path read as the records",
        "etl/readers/json_path.py",
        (
            (
                "for name in scan.take_names(values, level) if name == key)",
                "for name in scan.take_names(values, level))",
            ),
        ),
        caught_by=(f"{JSON_PATH}test_a_document_with_an_array_elsewhere_is_not_read",),
    ),
    Mistake(
        9,
        "an object around the records that is not closed taken for whole",
        "etl/readers/json_path.py",
        (("    return around.leave(around.window)\n", "    return True\n"),),
        caught_by=(f"{JSON_PATH}test_an_object_around_the_array_proves_its_end_only_if_it_is_closed",),
    ),
    Mistake(
        10,
        "a reader that holds the whole source",
        "etl/readers/content.py",
        (("        for item in items:\n", "        for item in list(items):\n"),),
        caught_by=(f"{MEMORY}test_a_source_four_times_as_long_takes_no_more_memory",),
    ),
    Mistake(
        10,
        "a window as long as the array",
        "etl/readers/json_window.py",
        (("self.file.read(max(STEP_BYTES, len(self.text)))", "self.file.read()"),),
        caught_by=(f"{MEMORY}test_a_source_four_times_as_long_takes_no_more_memory[array]",),
    ),
    Mistake(
        10,
        "a chunk without a limit in bytes",
        "etl/readers/content.py",
        (drop(" or size >= CHUNK_BYTES"),),
        caught_by=(f"{MEMORY}test_a_chunk_of_wide_records_ends_early",),
    ),
    Mistake(
        10,
        "a sheet loaded however far its cells reach",
        "etl/readers/excel_sheet.py",
        (("            if (rows + 1) * columns + loose > MAX_CELLS:\n", "            if loose > MAX_CELLS:\n"),),
        caught_by=(
            "tests/readers/test_excel.py::test_a_cell_far_outside_the_table_is_refused_before_the_sheet_is_loaded",
        ),
    ),
    Mistake(
        10,
        "a chunk of CSV lines without a limit in bytes",
        "etl/readers/csv_file.py",
        (("max(0, start + content.CHUNK_BYTES - self.lines.offset)", "content.CHUNK_BYTES"),),
        caught_by=(f"{MEMORY}test_a_chunk_of_wide_lines_ends_early",),
    ),
    Mistake(
        10,
        "a batch that is kept until the next one is prepared",
        "etl/preparation.py",
        (
            (
                "    yield from map(preparation.prepare, read_chunks(source, content, cursor, batch_size))\n",
                (
                    "    for chunk in read_chunks(source, content, cursor, batch_size):\n"
                    "        yield preparation.prepare(chunk)\n"
                ),
            ),
        ),
        caught_by=(f"{MEMORY}test_a_batch_that_is_taken_is_not_kept",),
    ),
    Mistake(
        10,
        "a replay's page without a limit in bytes",
        "etl/storage/refusals.py",
        (drop("            if size >= CHUNK_BYTES:\n                break\n"),),
        caught_by=(f"{MEMORY}test_a_replays_page_of_wide_records_ends_early",),
    ),
    Mistake(
        10,
        "a refused record kept however wide",
        "etl/records.py",
        (("cls(original[:ORIGINAL_BYTES], ", "cls(original, "),),
        caught_by=(f"{MEMORY}test_of_a_wide_refused_record_the_beginning_is_kept",),
    ),
    Mistake(
        10,
        "a line without a limit",
        "etl/readers/json_records.py",
        (("self.file.readline(most + 1)", "self.file.readline()"),),
        caught_by=(f"{JSON}test_line_beyond_a_megabyte_is_refused_with_its_true_length_and_hash",),
    ),
    Mistake(
        10,
        "a container that unpacks to any size",
        "etl/readers/containers.py",
        (("        if size > conf.ETL_UNPACKED_MAX_BYTES:\n", "        if False:\n"),),
        caught_by=(f"{CONTAINERS}test_a_bomb_meets_the_cap",),
    ),
    Mistake(
        10,
        "statements collected while debugging",
        "etl/storage/transactions.py",
        (("    session.queries_log.clear()", "    pass"),),
        caught_by=("tests/laws/test_attacks.py::test_statements_are_not_collected_while_debugging",),
    ),
    Mistake(
        12,
        "a cut body that counts as whole",
        "etl/http/client.py",
        (("if body is not None and not body.is_empty and self.looks_cut(body.copy):\n", "if False:\n"),),
        caught_by=(f"{CLIENT}test_a_truncated_body_is_requested_again",),
    ),
    Mistake(
        12,
        "a compressed stream without its end that counts as whole",
        "etl/http/decoding.py",
        (("    if stream is not None and not stream.eof:\n", "    if False:\n"),),
        caught_by=(
            f"{CLIENT}test_a_compressed_stream_without_its_end_is_cut_although_all_its_bytes_came",
            f"{PROOF}test_a_gzip_body_cut_at_a_line_end_fails_and_the_next_run_lands_everything",
        ),
    ),
    Mistake(
        12,
        "a gzip file without its end that counts as whole",
        "etl/readers/containers.py",
        (("    if member is None or not member.eof:\n", "    if member is None:\n"),),
        caught_by=(
            f"{CONTAINERS}test_any_cut_of_a_gzip_file_is_noticed",
            f"{PROOF}test_a_gzip_file_cut_at_a_line_end_fails_and_the_next_run_lands_everything",
        ),
    ),
    Mistake(
        12,
        "lines accepted without a proof of their end",
        "etl/readers/http_content.py",
        (('    if not is_proven and whole == "proven":\n', "    if False:\n"),),
        caught_by=(f"{PROOF}test_lines_without_a_proof_of_their_end_fail_each_run_and_land_nothing",),
    ),
    Mistake(
        12,
        "a body without proof of its end keeps its validators",
        "etl/fence/reads.py",
        (("if is_kept_content and end.is_proven else {}", "if is_kept_content else {}"),),
        caught_by=(f"{PROOF}test_of_a_body_whose_end_nothing_proves_no_validator_is_kept",),
    ),
    Mistake(
        12,
        "a validator sent that was kept before ends were proven",
        "etl/http/attempt.py",
        (drop("VALIDATORS + "),),
        caught_by=(f"{CLIENT}test_validators_from_before_ends_were_proven_are_not_sent",),
    ),
    Mistake(
        12,
        "one page of several that counts as whole",
        "etl/http/attempt.py",
        (("                if not request.is_page:\n", "                if False:\n"),),
        caught_by=(
            f"{CLIENT}test_a_response_that_names_a_next_page_is_refused_and_not_retried",
            f"{PROOF}test_an_undeclared_next_page_fails_each_run_and_nothing_lands[link]",
        ),
    ),
    Mistake(
        12,
        "a file copied while it is written",
        "etl/local_copy.py",
        (
            (
                "            if _identify(file) == before and size == os.fstat(file.fileno()).st_size:\n",
                "            if True:\n",
            ),
        ),
        caught_by=(
            f"{CSV}test_file_rewritten_while_it_is_copied_is_copied_again",
            f"{CSV}test_file_that_keeps_changing_is_a_transient_error",
        ),
    ),
    Mistake(
        12,
        "a validator kept of a read that does not end",
        "etl/pipeline.py",
        (
            after(
                "        context.note_read(read)\n",
                "        from etl.storage.transactions import bounded_transaction\n"
                "        with bounded_transaction():\n"
                "            Checkpoint.objects.filter(pk=source.name).update(validators=dict(content.validators))\n",
            ),
        ),
        caught_by=(f"{READS}test_a_cut_read_leaves_neither_fingerprint_nor_validator",),
    ),
    Mistake(
        14,
        "a next page asked for on another host",
        "etl/http/pages.py",
        (("    if find_origin(url) != find_origin(page.url):\n", "    if False:\n"),),
        caught_by=(f"{WALK}test_a_next_page_of_another_origin_is_never_asked_for",),
    ),
    Mistake(
        14,
        "a cursor that stores the key of the query",
        "etl/readers/walk.py",
        (("                following = hide(following, request, response.body.request)\n", "                pass\n"),),
        caught_by=(f"{WALK}test_a_key_in_the_query_is_put_on_each_page_and_never_stored",),
    ),
    Mistake(
        1,
        "a walk's cursor one page ahead",
        "etl/readers/walk_reading.py",
        (
            (
                "            yield self._finish()\n        while",
                "            yield replace(self._finish(), cursor=self._go_on(page).as_cursor())\n        while",
            ),
        ),
        caught_by=(f"{WALK}test_a_walk_resumed_after_any_chunk_gives_the_rest_and_asks_for_no_page_before_it",),
    ),
    Mistake(
        12,
        "a short page that ends a walk",
        "etl/http/pages.py",
        (("        if not page.count or (most", "        if page.count < 2 or (most"),),
        caught_by=(f"{WALK}test_each_record_is_read_once_and_each_page_asked_for_once",),
    ),
    Mistake(
        12,
        "the guard against circles forgotten at a resume",
        "etl/http/circles.py",
        (("        return cls(**stored) if stored else cls()\n", "        return cls()\n"),),
        caught_by=(f"{WALK}test_a_circle_is_found_by_a_walk_that_is_resumed_after_each_page",),
    ),
    Mistake(
        12,
        "pages by number that are not asked for again",
        "etl/readers/walk.py",
        (("        if not isinstance(pages, Numbered) or not firsts:\n", "        if isinstance(pages, Numbered):\n"),),
        caught_by=(f"{SHIFTING}test_what_moves_to_a_page_that_was_read_lands_and_each_request_is_known",),
    ),
    Mistake(
        12,
        "a page that has moved up, taken for unchanged",
        "etl/shifted_pages.py",
        (("is_settled = not unmet and not page.has_moved_up\n", "is_settled = not unmet\n"),),
        caught_by=(f"{SHIFTING}test_what_moves_to_a_page_that_was_read_lands_and_each_request_is_known",),
    ),
    Mistake(
        12,
        "a total that becomes smaller, and is forgotten",
        "etl/readers/walk_reading.py",
        (("            fell=place.fell or has_fallen(place.total, page.total),\n", ""),),
        caught_by=(f"{SHIFTING}test_a_total_that_falls_or_differs_from_the_ids_that_were_met_makes_the_run_partial",),
    ),
    Mistake(
        8,
        "a cursor that is refused, asked for in each run",
        "etl/readers/walk.py",
        (("                if at is place and place.state:\n", "                if False:\n"),),
        caught_by=(f"{WALKS}test_a_cursor_that_the_server_refuses_starts_the_walk_over",),
    ),
    Mistake(
        8,
        "an old walk that continues in pages that have moved since",
        "etl/resumption.py",
        (("    if idle is None or idle <= limit:\n", "    if True:\n"),),
        caught_by=(f"{WALKS}test_a_walk_that_was_interrupted_too_long_ago_starts_over",),
    ),
    Mistake(
        12,
        "removals after pages have shifted",
        "etl/pipeline.py",
        ((", shift=shift, is_delta=is_delta)\n", ", is_delta=is_delta)\n"),),
        caught_by=(f"{SHIFTING}test_a_complete_walk_by_number_removes_what_it_lacks_unless_its_pages_have_shifted",),
    ),
    Mistake(
        12,
        "a watermark saved per page",
        "etl/fence/batches.py",
        (
            (
                "cursor = %(cursor)s,\n",
                "cursor = %(cursor)s,\n        watermark = (%(cursor)s::jsonb ->> 'newest')::timestamptz,\n",
            ),
        ),
        caught_by=(f"{INCREMENTS}test_a_delta_that_was_cut_goes_on_with_its_since_and_the_latest_change_met_before",),
    ),
    Mistake(
        12,
        "a delta taken for a whole read",
        "etl/increments.py",
        (("        return self.bounds != ALL\n", "        return False\n"),),
        caught_by=(
            f"{INCREMENTS}test_a_delta_without_a_record_is_a_success_and_removes_nothing",
            f"{INCREMENTS}test_a_delta_reports_a_new_field_and_never_a_removed_or_a_narrower_one",
        ),
    ),
    Mistake(
        12,
        "a window that moves the watermark",
        "etl/increments.py",
        (("        if self.is_window:\n", "        if self.is_window and self.follows:\n"),),
        caught_by=(f"{INCREMENTS}test_an_empty_window_changes_nothing_that_later_reads_need",),
    ),
    Mistake(
        12,
        "a watermark in the future",
        "etl/preparation.py",
        (("if time is not None and time <= begun)", "if time is not None)"),),
        caught_by=(f"{INCREMENTS}test_a_time_in_the_future_moves_nothing",),
    ),
    Mistake(
        12,
        "a validator sent while a read is open",
        "etl/pipeline.py",
        (
            (
                "        return Opening(open_read=",
                "        return Opening(checkpoint.validators, open_read=",
            ),
        ),
        caught_by=(f"{READS}test_while_a_read_is_open_the_whole_content_is_asked_for",),
    ),
    Mistake(
        12,
        "content that went back, taken for unchanged",
        "etl/pipeline.py",
        ((" and not checkpoint.is_reading and read.fingerprint", " and read.fingerprint"),),
        caught_by=(f"{DELIVERY}test_content_that_went_back_while_a_read_was_open_is_read_again",),
    ),
)
