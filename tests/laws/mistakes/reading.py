"""Laws 8, 9, 10 and 12: positions, drift and breaches, memory, and unproven ends."""

from tests.laws.seeding import Mistake, after, drop

CLASSES = "tests/test_change_detection.py::"
CLIENT = "tests/http/test_client.py::"
CSV = "tests/readers/test_csv_file.py::"
DELIVERY = "tests/laws/test_delivery.py::"
DRIFT = "tests/laws/test_drift_delivery.py::"
JSON = "tests/readers/test_json_records.py::"
MEMORY = "tests/laws/test_memory.py::"
READING = "tests/laws/test_reading_process.py::"
READS = "tests/laws/test_reads.py::"

MISTAKES = (
    Mistake(
        8,
        "a second reading process that starts where the first one did",
        "etl/reading_process/choice.py",
        (
            (
                "                cursor, shape, has_progressed = prepared.cursor, prepared.shape, True\n",
                "                has_progressed = True\n",
            ),
        ),
        caught_by=(f"{READING}test_killed_at_any_moment_another_one_continues",),
    ),
    Mistake(
        8,
        "lines of another batch than the one that was lost",
        "etl/reading_process/choice.py",
        (
            (
                "_LinesInAnyCase(prepared.judged.lines, source, content, cursor, shape)",
                "_LinesInAnyCase(prepared.judged.lines, source, content, prepared.cursor, shape)",
            ),
        ),
        caught_by=(f"{READING}test_killed_before_it_is_asked_for_lines_they_are_written_here",),
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
        caught_by=(f"{READING}test_a_shared_descriptor_is_read_at_a_position_of_its_own",),
    ),
    Mistake(
        8,
        "other content resumed at the old place",
        "etl/fence/reads.py",
        (("checkpoint.is_reading and checkpoint.read_fingerprint == fingerprint\n", "checkpoint.is_reading\n"),),
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
                "            return Refusal.of(record, unified, self.",
                "            raise ValueError\n            (self.",
            ),
            (
                "        judged.refusals.append(Refusal.of(record",
                "        raise ValueError\n        judged.refusals.append(Refusal.of(record",
            ),
        ),
        caught_by=(
            f"{CLASSES}test_refused_records_keep_their_place_and_their_original",
            f"{DELIVERY}test_whichever_commit_loses_its_answer_the_run_ends_well",
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
                "    is_good = [row not in breaches for row in rows]\n",
                "    is_good = [row + 1 not in breaches for row in rows]\n",
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
                "observe_slices(chunk.slices, is_lexical=is_lexical)",
                "observe([i.record.values for i in judge.judge(chunk.items) if hasattr(i, 'unified')], is_lexical=0)",
            ),
        ),
        caught_by=(f"{DRIFT}test_drift_is_seen_in_records_that_are_refused",),
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
        "etl/readers/json_records.py",
        (("        block = self.file.read(MAX_RECORD_BYTES)\n", "        block = self.file.read()\n"),),
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
        "a chunk of CSV lines without a limit in bytes",
        "etl/readers/csv_file.py",
        (("max(0, start + content.CHUNK_BYTES - self.lines.offset)", "content.CHUNK_BYTES"),),
        caught_by=(f"{MEMORY}test_a_chunk_of_wide_lines_ends_early",),
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
        (("self.file.readline(MAX_RECORD_BYTES + 1)", "self.file.readline()"),),
        caught_by=(f"{JSON}test_line_beyond_a_megabyte_is_refused_with_its_true_length_and_hash",),
    ),
    Mistake(
        10,
        "statements collected while debugging",
        "etl/storage/transactions.py",
        (("    connection.queries_log.clear()", "    pass"),),
        caught_by=("tests/laws/test_attacks.py::test_statements_are_not_collected_while_debugging",),
    ),
    Mistake(
        12,
        "a cut body that counts as whole",
        "etl/http/client.py",
        (("            if body is not None and looks_cut(body.copy):\n", "            if False:\n"),),
        caught_by=(f"{CLIENT}test_a_truncated_body_is_requested_again",),
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
                "            Checkpoint.objects.filter(source=source.name).update(validators=dict(validators))\n",
            ),
        ),
        caught_by=(f"{READS}test_a_cut_read_leaves_neither_fingerprint_nor_validator",),
    ),
    Mistake(
        12,
        "a validator sent while a read is open",
        "etl/pipeline.py",
        (
            (
                "    if started.is_full or checkpoint.is_reading or not is_same_contract:\n",
                "    if started.is_full or not is_same_contract:\n",
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
