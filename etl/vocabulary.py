"""The words of the pipeline: each status, reason, trigger, event and breach code, in one enum each."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a run. `partial`: finished, but some records were refused."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class Reason(StrEnum):
    """Why a run has its status, for operators; empty if there is nothing to add."""

    NONE = ""
    UNCHANGED = "unchanged"  # success: the content is the same as in the last read
    NO_FILES = "no_files"  # success: the source's pattern finds no file
    RECORDS_REFUSED = "records_refused"  # partial
    PARENTS_MISSING = "parents_missing"  # partial: the refused records only wait for the rows to which they refer
    COLUMNS_MISSING = "columns_missing"  # failed: the content lacks fields that the contract requires
    TOO_MANY_REFUSED = "too_many_refused"  # failed: more than the source's limit
    SUDDENLY_EMPTY = "suddenly_empty"  # failed: no record, where the last accepted read had some
    TOO_FEW_RECORDS = "too_few_records"  # failed: fewer than the source's minimum
    MORE_PAGES = "more_pages"  # failed: the response is one page of several
    NOT_READY = "not_ready"  # failed: the source was still preparing its response when the time was used up
    PAGES_ENDLESS = "pages_endless"  # failed: the pages go in a circle, repeat themselves, or are too many
    PAGES_SHIFTED = "pages_shifted"  # partial: records were added or removed while the pages were read
    SHRUNKEN = "shrunken"  # partial: far fewer records than in the last accepted read
    STALE = "stale"  # partial: the content has not changed for longer than the source allows
    ABANDONED = "abandoned"  # failed: closed from outside, because its process had died or was frozen
    READ_OPEN = "read_open"  # failed: a replay can't wait for the end of an interrupted read
    CANCELLED = "cancelled"  # failed: an operator stopped it
    RELEASED = "released"  # failed: an operator took its source away, for other runs
    LEASE_LOST = "lease_lost"  # failed: it noticed that its lease had ended
    INTERRUPTED = "interrupted"  # failed: Ctrl-C or SIGTERM
    RATE_LIMITED = "rate_limited"  # failed: the source asks for a long wait
    SOURCE_UNREACHABLE = "source_unreachable"  # failed: no response, after all retries
    SOURCE_REFUSED = "source_refused"  # failed: 4xx, TLS, or an address that is not permitted
    SOURCE_UNREADABLE = "source_unreadable"  # failed: missing, malformed, too large
    TARGET_CHANGED = "target_changed"  # failed: model and table of the target differ, or the source no longer fits
    TARGET_REFUSES = "target_refuses"  # failed: the target's table refuses too many records of one batch, or a removal
    TIMED_OUT = "timed_out"  # failed: the task's time limit
    OUT_OF_MEMORY = "out_of_memory"  # failed
    GAVE_UP = "gave_up"  # failed: abandoned for the third time
    UNKNOWN_SOURCE = "unknown_source"  # failed: no longer in ETL_SOURCES
    DATABASE_ERROR = "database_error"  # failed: after all retries
    INTERNAL_ERROR = "internal_error"  # failed: a bug in Kasparro or in the source's code
    HELD = "held"  # reason of a refused start, not of a run: another run holds the source


class Trigger(StrEnum):
    """What requested a run."""

    TERMINAL = "terminal"  # `manage.py ingest` without `--queue`
    COMMAND = "command"
    SCHEDULE = "schedule"
    API = "api"
    ADMIN = "admin"
    REPLAY = "replay"


class EventKind(StrEnum):
    """The kind of one event in a run's event log."""

    QUEUED = "queued"
    STARTED = "started"
    RESUMED = "resumed"
    RESTARTED = "restarted"
    RETRY = "retry"
    WAIT = "wait"
    START_REFUSED = "start_refused"
    HANDED_OVER = "handed_over"
    OVERTAKEN = "overtaken"
    DRIFT = "drift"
    REMOVED = "removed"
    CLOSED = "closed"


class QuarantineStatus(StrEnum):
    """The state of a refused record."""

    OPEN = "open"
    REPLAYED = "replayed"  # landed by a replay
    DISCARDED = "discarded"  # by an operator
    LANDED = "landed"  # a record with its id was accepted later
    GONE = "gone"  # the last whole read no longer contained it


class MarkKind(StrEnum):
    """The table of the rows that a read has found and marked."""

    RECORD = "record"  # unified_records: accepted, and found unchanged
    REFUSAL = "refusal"  # etl_quarantine: refused
    LATE = "late"  # etl_quarantine: refused, and in the content after each accepted record with the same id
    PRESENT = "present"  # unified_records: sent only in a version that is older than the stored one
    REREAD = "reread"  # raw_records: judged again and written since, and not met by the read


class ReadOutcome(StrEnum):
    """What became of a read that has ended."""

    ACCEPTED = "accepted"
    HELD = "held"  # it has landed, and its verdict waits for an operator or other content
    FAILED = "failed"


class BreachCode(StrEnum):
    """How a record breaks its contract."""

    MISSING = "missing"
    BLANK = "blank"
    NOT_TEXT = "not_text"
    NOT_A_NUMBER = "not_a_number"
    NOT_AN_INTEGER = "not_an_integer"
    NOT_POSITIVE = "not_positive"
    NOT_A_TIME = "not_a_time"
    NOT_A_DATE = "not_a_date"
    NO_TIME_ZONE = "no_time_zone"
    OUT_OF_RANGE = "out_of_range"
    AMBIGUOUS_TIME = "ambiguous_time"
    NONEXISTENT_TIME = "nonexistent_time"
    NOT_A_BOOLEAN = "not_a_boolean"
    NOT_A_CHOICE = "not_a_choice"
    NOT_AN_EMAIL = "not_an_email"
    NOT_A_URL = "not_a_url"
    NOT_A_UUID = "not_a_uuid"
    NOT_A_LIST = "not_a_list"
    NOT_JSON = "not_json"
    PATTERN = "pattern"
    TOO_PRECISE = "too_precise"
    TOO_LONG = "too_long"
    TOO_DEEP = "too_deep"
    NUL_CHARACTER = "nul_character"
    BAD_ENCODING = "bad_encoding"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    NOT_VALID = "not_valid"  # a validator of the target's model refuses it
    NO_PARENT = "no_parent"  # the row to which it refers does not exist
    PARENT_MISSING = "parent_missing"  # the same, and it waits for that row
    NO_ROW = "no_row"  # its source creates no rows, and there is none with its key
    CONSTRAINT = "constraint"  # the target's table refuses it
    COLUMN_COUNT = "column_count"
    MALFORMED = "malformed"
    RAISED = "raised"  # the source's own code raised an exception
    CHILD_MISSING = "child_missing"  # an element of a list has no detail
    BAD_RESULT = "bad_result"  # the source's own code returned what it may not return


class ChangeKind(StrEnum):
    """How two shapes of a source differ at one field path."""

    ADDED = "added"
    REMOVED = "removed"
    TYPE = "type"
    NULLABILITY = "nullability"
    SPELLING = "spelling"  # another name for the same field of the contract


class TotalName(StrEnum):
    """The totals that are counted forever. Each comment says what the total's label is."""

    RUNS = "runs"  # closed runs, by status
    FAILURES = "failures"  # failed runs, by reason
    RECORDS = "records"  # by outcome, one of COUNTED_OUTCOMES
    DURATION = "duration"  # closed runs that were started, by the first of DURATION_BOUNDS that they did not exceed
    DURATION_SUM = "duration_sum"  # seconds of those runs, from first start to end
    RETRIES = "retries"
    SCHEMA_CHANGES = "schema_changes"


class SourceKind(StrEnum):
    """The kind of a source, which selects the raw table of its records."""

    API = "api"
    CSV = "csv"
    THIRD = "third"


OPEN_STATUSES = (Status.QUEUED, Status.RUNNING)
CLOSED_STATUSES = (Status.SUCCESS, Status.PARTIAL, Status.FAILED)
OUTCOMES = ("new", "updated", "unchanged", "duplicate", "skipped", "quarantined")
COUNTERS = ("seen", *OUTCOMES, "removed")
COUNTED_OUTCOMES = (*OUTCOMES, "removed")
DURATION_BOUNDS = (
    *("0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "300.0", "900.0", "3600.0"),
    "+Inf",
)
"""Upper bounds of the histogram of run times in seconds, as Prometheus writes them. The triggers contain them too."""


class StandingWord(StrEnum):
    """How a source does now. etl/runs/standings.py chooses the word; every page, answer and alert shows this one."""

    FINE = "fine"
    REFUSING = "refusing"  # records that it refused are open, apart from those that wait for a row
    HELD = "held"  # its last read has landed, and the verdict waits for an operator
    FAILING = "failing"  # its last run failed
    LATE = "late"  # it was due, and no run has succeeded since
    PAUSED = "paused"  # an operator switched its schedule off
    NEVER_RUN = "never run"


class AlertKind(StrEnum):
    """What an alert reports."""

    FAILING = "failing"
    RECOVERED = "recovered"
    REFUSING = "refusing"
    LATE = "late"
    HELD = "held"  # a verdict waits
    DRIFT = "drift"


class AlertState(StrEnum):
    """The state of an alert's delivery."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"  # a receiver did not accept it for a day
    NO_RECEIVER = "no_receiver"  # neither ADMINS nor ALERT_WEBHOOKS were set, when it was made or was to be sent
