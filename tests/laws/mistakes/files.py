"""Laws of sources whose path is a pattern: each file is a read of its own."""

from tests.laws.seeding import Mistake

FILES = "tests/laws/test_files.py::"

MISTAKES = (
    Mistake(
        4,
        "a refused record settled by another file",
        "etl/storage/refusal_states.py",
        (("            is_whole=read.is_whole and file == read.file,\n", "            is_whole=read.is_whole,\n"),),
        caught_by=(f"{FILES}test_a_corrected_file_settles_only_its_own_refused_records",),
    ),
    Mistake(
        5,
        "an earlier file that replaces what a later one says",
        "etl/storage/ledger.py",
        (
            (
                "            is_of_later_file=later_files.cover(sequence),\n",
                "            is_of_later_file=False,\n",
            ),
        ),
        caught_by=(
            f"{FILES}test_of_two_files_with_an_id_the_later_name_counts",
            f"{FILES}test_a_correction_of_an_earlier_file_does_not_replace_what_a_later_one_says",
        ),
    ),
    Mistake(
        8,
        "a read resumed in another file with the same content",
        "etl/fence/reads.py",
        (("    is_same = find_open_file(checkpoint) == file and ", "    is_same = checkpoint.is_reading and "),),
        caught_by=(f"{FILES}test_an_open_read_is_not_resumed_in_another_file_with_the_same_content",),
    ),
    Mistake(
        9,
        "a bad file that keeps the others from being read",
        "etl/file_pipeline.py",
        (("            self._fail(error)\n", "            raise\n"),),
        caught_by=(f"{FILES}test_a_bad_file_fails_the_run_after_the_others_have_landed",),
    ),
    Mistake(
        12,
        "a file that could not be read, known by its stamp",
        "etl/file_pipeline.py",
        (
            (
                "        end = FileEnd(self.file.name, ReadOutcome.FAILED, read_number=number, message=str(error))\n",
                (
                    "        end = FileEnd(self.file.name, ReadOutcome.ACCEPTED, self.file.stamp,"
                    " f'{self.source.digest()}:')\n"
                ),
            ),
        ),
        caught_by=(f"{FILES}test_a_bad_file_fails_the_run_after_the_others_have_landed",),
    ),
    Mistake(
        12,
        "a file known by a stamp that a later change may keep",
        "etl/local_copy.py",
        (("    return _write_stamp(status) if is_settled else ", "    return _write_stamp(status) if status else "),),
        caught_by=("tests/readers/test_places.py::test_a_file_that_has_just_changed_has_no_stamp_that_counts",),
    ),
)
