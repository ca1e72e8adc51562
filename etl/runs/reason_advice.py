"""The meaning of each reason of a run, and what to do about it. docs/runbook.md has a heading for each."""

from collections.abc import Mapping
from dataclasses import dataclass

from etl.vocabulary import Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """`cause` says what the reason means, `remedy` what to do, if anything."""

    cause: str
    remedy: str


ADVICE: Mapping[Reason, Advice] = {
    Reason.UNCHANGED: Advice("The source's content is the same as in the last read.", "There is nothing to do."),
    Reason.NO_FILES: Advice(
        "The folder is there, and no file in it matches the source's path.",
        "Nothing, if no file is due yet. Otherwise compare the names of the files with the pattern in `path`.",
    ),
    Reason.RECORDS_REFUSED: Advice(
        "Some records violate the source's contract; they wait in quarantine.",
        "Look at them there. Have the source corrected, or correct the contract and replay them.",
    ),
    Reason.PARENTS_MISSING: Advice(
        "Some records refer to rows that do not exist yet; they wait in quarantine.",
        "Nothing if the rows will come: the records then land by themselves. Otherwise see which rows they wait for.",
    ),
    Reason.COLUMNS_MISSING: Advice(
        "The content lacks fields that the contract requires. Nothing of it has landed.",
        "Have the source corrected, or change the contract or the mapping; the next run then reads it again.",
    ),
    Reason.TOO_MANY_REFUSED: Advice(
        "More records were refused than the source's gates allow.",
        "Look at the refused records and correct the source or the contract,"
        " or accept the read (`manage.py reads`) if it is right.",
    ),
    Reason.SUDDENLY_EMPTY: Advice(
        "The source sent no record, although the last accepted read had some. Nothing was removed.",
        "Ask the supplier. If the source really is empty, accept the read (`manage.py reads`).",
    ),
    Reason.TOO_FEW_RECORDS: Advice(
        "The source sent fewer records than its gates require.",
        "Ask the supplier, or accept the read (`manage.py reads`) if it is right.",
    ),
    Reason.SHRUNKEN: Advice(
        "The source sent far fewer records than before. They have landed, and nothing was removed.",
        "Ask the supplier. If it is right, accept the read (`manage.py reads`):"
        " the next run then removes the missing records.",
    ),
    Reason.PAGES_SHIFTED: Advice(
        "Records were added or removed while the pages were read, so some may be missing. Nothing was removed.",
        "Nothing if the next run succeeds: it reads all pages. Otherwise look at the `total` of the source's `pages`.",
    ),
    Reason.STALE: Advice(
        "The content has not changed for longer than the source's gates allow.",
        "Find out why the source is no longer updated.",
    ),
    Reason.TARGET_CHANGED: Advice(
        "The table that the source writes to does not match its model. What landed before stays.",
        "Run `manage.py migrate` with the code that the workers run; the next run goes on.",
    ),
    Reason.TARGET_REFUSES: Advice(
        "The target's table refused too many records of one batch, or the removal of a record that vanished.",
        "The message names the constraint or trigger. Correct it or the source; the next run resumes at that batch.",
    ),
    Reason.ABANDONED: Advice(
        "The run's process had died or stalled, so another process closed the run.",
        "Nothing if a successor resumed it; otherwise run it again. If it happens often, check restarts and memory.",
    ),
    Reason.READ_OPEN: Advice(
        "A replay found an open read of its source, and no run was queued to finish it.",
        "Let a run of the source finish that read, then replay again.",
    ),
    Reason.CANCELLED: Advice("An operator cancelled the run.", "Run it again when you need it; it resumes from there."),
    Reason.RELEASED: Advice(
        "An operator took the source away from this run.", "Run the source now: it resumes after the last batch."
    ),
    Reason.LEASE_LOST: Advice(
        "The run was stalled for longer than its lease (ETL_LEASE_SECONDS).",
        "The next run resumes it. If it happens often, look for a machine that is overloaded or suspended.",
    ),
    Reason.INTERRUPTED: Advice("Ctrl-C or SIGTERM stopped the run.", "The next run resumes from there."),
    Reason.RATE_LIMITED: Advice(
        "The source asks for a longer wait than this run could spend.",
        "Wait until the time that the error names. Send fewer requests, or use an API key of your own.",
    ),
    Reason.SOURCE_UNREACHABLE: Advice(
        "The source did not respond, after all retries.",
        "Try its address from the worker's machine. The next run tries again automatically.",
    ),
    Reason.SOURCE_REFUSED: Advice(
        "The source refused the request (4xx, an error in a response with status 200, or TLS), or the request leads to"
        " an address that sources may not reach.",
        "Read the source's own message in the error; check the address, the credentials and the certificate."
        " ETL_HTTP_ALLOW permits private addresses.",
    ),
    Reason.SOURCE_UNREADABLE: Advice(
        "The content is missing, malformed, too large, of another kind, or its end is not proven.",
        "Look at the file or the address that the error names; `manage.py preview` tries it and writes nothing.",
    ),
    Reason.MORE_PAGES: Advice(
        "The source sent one page of several, so most of its records would be missing.",
        "Declare the `pages` of the source, or ask for all records in one response.",
    ),
    Reason.NOT_READY: Advice(
        "The source was still preparing its response when the time for the request was used up.",
        "Nothing if a later run succeeds. Otherwise give the source a longer `deadline`, or ask for less at a time.",
    ),
    Reason.PAGES_ENDLESS: Advice(
        "The source's pages form a loop, repeat themselves, or exceed ETL_HTTP_MAX_PAGES.",
        "Look at the `pages` of the source and at what the server names as the next page.",
    ),
    Reason.TIMED_OUT: Advice(
        "The task exceeded its time limit.", "The next run resumes it. If it happens again, look at the source."
    ),
    Reason.OUT_OF_MEMORY: Advice("The worker had too little memory.", "Give it more memory, or lower ETL_BATCH_SIZE."),
    Reason.GAVE_UP: Advice(
        "The run was abandoned for the third time in a row; it is not retried automatically.",
        "Find out what kills its workers (memory, restarts), then run it again.",
    ),
    Reason.UNKNOWN_SOURCE: Advice(
        "The source is not in ETL_SOURCES.", "Add its dotted path there, or delete its entry from the schedule."
    ),
    Reason.DATABASE_ERROR: Advice(
        "PostgreSQL failed, after all retries.", "Look at its log, its disk and its connections; then run it again."
    ),
    Reason.INTERNAL_ERROR: Advice(
        "There is a bug in the source's code or in Kasparro.", "Find the error in the worker's log and fix it."
    ),
    Reason.HELD: Advice("Another run holds the source.", "Wait for that run, or release its lease if it is stuck."),
}


def find_advice(reason: str) -> Advice | None:
    """Return the advice for a run's reason, or None if there is nothing to add."""
    return ADVICE.get(Reason(reason)) if reason in list(Reason) else None
