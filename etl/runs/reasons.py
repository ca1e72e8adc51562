"""What each reason of a run means and what to do about it, in two sentences; docs/runbook.md has a heading for each."""

from collections.abc import Mapping
from dataclasses import dataclass

from etl.vocabulary import Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """`cause` tells what the reason means, `remedy` what to do, if anything."""

    cause: str
    remedy: str


ADVICE: Mapping[Reason, Advice] = {
    Reason.UNCHANGED: Advice("The source's content is the one read before.", "Nothing is to be done."),
    Reason.RECORDS_REFUSED: Advice(
        "Some records break the source's contract; they wait in quarantine.",
        "Look at them there: have the source mended, or mend the contract and replay them.",
    ),
    Reason.ABANDONED: Advice(
        "The run's process was gone or stood still, so it was closed from outside.",
        "Nothing, if a successor went on; else run it again. If it happens often, look for restarts and memory.",
    ),
    Reason.READ_OPEN: Advice(
        "A replay met a read of its source that was cut and is still open.",
        "Let a run of the source end that read, then replay again.",
    ),
    Reason.CANCELLED: Advice("Somebody wanted it to stop.", "Run it again when it is wanted; it goes on from there."),
    Reason.RELEASED: Advice(
        "An operator took the source away from this run.", "Run the source now: it goes on behind the last batch."
    ),
    Reason.LEASE_LOST: Advice(
        "The run stood still for longer than its lease (ETL_LEASE_SECONDS).",
        "The next run goes on. If it happens often, look for a machine that is overloaded or put to sleep.",
    ),
    Reason.INTERRUPTED: Advice("Ctrl-C or SIGTERM stopped it.", "The next run goes on from there."),
    Reason.RATE_LIMITED: Advice(
        "The source asks for a longer wait than this run could spend.",
        "Wait until the time that the error names; ask less often, or with a key of your own.",
    ),
    Reason.SOURCE_UNREACHABLE: Advice(
        "The source did not answer, after all retries.",
        "Try its address from the worker's machine; the next run tries again by itself.",
    ),
    Reason.SOURCE_REFUSED: Advice(
        "The source refused the request (4xx, or TLS).", "Check the address, the credentials and the certificate."
    ),
    Reason.SOURCE_UNREADABLE: Advice(
        "The content is missing, malformed or too large.",
        "Look at the file or the address that the error names; `manage.py preview` tries it and writes nothing.",
    ),
    Reason.TIMED_OUT: Advice(
        "The task hung beyond its time limit.", "The next run goes on. If it happens again, look at the source."
    ),
    Reason.OUT_OF_MEMORY: Advice("The worker had too little memory.", "Give it more, or lower ETL_BATCH_SIZE."),
    Reason.GAVE_UP: Advice(
        "It was abandoned for the third time in a row; nobody tries again by itself.",
        "Find out what ends its workers (memory, restarts), then run it again.",
    ),
    Reason.UNKNOWN_SOURCE: Advice(
        "The source is not in ETL_SOURCES.", "Add its dotted path there, or delete its entry from the schedule."
    ),
    Reason.DATABASE_ERROR: Advice(
        "PostgreSQL failed, after all retries.", "Look at its log, its disk and its connections; then run it again."
    ),
    Reason.INTERNAL_ERROR: Advice(
        "A defect of the source's code or of Kasparro's.", "Find the error in the worker's log and mend it."
    ),
    Reason.HELD: Advice("Another run holds the source.", "Wait for that one, or release its lease if it is stuck."),
}


def find_advice(reason: str) -> Advice | None:
    """The advice for a run's reason; None where there is nothing to add."""
    return ADVICE.get(Reason(reason)) if reason in list(Reason) else None
