"""Increments: a source with `since` is asked for what has changed, nothing is missed, and nothing vanishes."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from pytest_django.fixtures import Settings

from etl.execution.executor import execute_here
from etl.execution.outcomes import Outcome
from etl.models import Checkpoint, JudgedRead, QuarantinedRecord, Run, SchemaChange, UnifiedRecord
from etl.operations.windows import WindowRefused, choose_window
from etl.runs import orders
from etl.runs.options import PLAIN, Options
from etl.runs.starting import start_queued
from etl.sources import Contract, Date, Gates, JsonApiSource, LinkHeader, NonBlank, Since, Time, Token, ZonedTime, field
from etl.supervision.os_signals import Interruption
from etl.vocabulary import Reason, Status, Trigger
from sandbox.changes import ChangingApi
from tests.laws.test_walks import cut_at
from tests.processes import Project, wait_until
from tests.single_steps import end_lease

pytestmark = pytest.mark.django_db(transaction=True)

MINUTES = timedelta(minutes=5)


class Change(Contract):
    id: NonBlank
    title: NonBlank
    updated_at: ZonedTime


class Changes(JsonApiSource):
    name, every, contract = "changes", timedelta(hours=1), Change
    endpoint = "/link"
    pages: ClassVar[Any] = LinkHeader()
    since: ClassVar[Since | None] = Since("since", of="updated_at", overlap=MINUTES, until="until")
    unified = {"external_id": "id", "name": "title"}
    gates = Gates(min_records=2, min_kept=0.9)


class InOnePiece(Changes):
    endpoint, pages = "/array", None


class Posted(Changes):
    endpoint, body, records = "/graphql", {"query": "…", "variables": {}}, "data.items"
    pages = Token(into="variables.cursor", at="data.page.end", more="data.page.more")
    since = Since(into="variables.since", of="updated_at", overlap=MINUTES, until="variables.until")


class Plain(InOnePiece):
    since = None


class Endless(Changes):
    since = Since("since", of="updated_at")


class Another(Changes):
    version = 2


class OtherQuery(Changes):
    params = {"state": "all"}


@pytest.fixture(autouse=True)
def one_attempt(settings: Settings) -> None:
    settings.ETL_HTTP_RETRIES = 0
    settings.ETL_BATCH_SIZE = 2


@pytest.fixture
def api() -> Iterator[ChangingApi]:
    with ChangingApi([make(number, f"{number:02}:00") for number in range(1, 7)]) as api:
        yield api


def make(number: int, time: str, title: str = "Bug", **more: Any) -> dict[str, Any]:
    at = time if "T" in time else f"2024-05-01T{time}:00Z"
    return {"id": f"n{number}", "title": title, "updated_at": at, **more}


def ingest(api: ChangingApi, kind: type[Changes] = Changes, options: Options = PLAIN) -> Outcome:
    """Run the source, and forget what was asked before."""
    api.requests.clear()
    api.headers.clear()
    source = kind()
    source.base_url = api.url
    return execute_here(source, options, interruption=Interruption(), report=lambda progress: None)


def fetch(api: ChangingApi, since: str, until: str = "", kind: type[Changes] = Changes) -> Outcome:
    return ingest(api, kind, choose_window(kind(), since, until))


def list_titles() -> dict[str, str]:
    return dict(UnifiedRecord.objects.filter(removed_at=None).values_list("external_id", "name"))


def read_watermark() -> datetime | None:
    return Checkpoint.objects.get().watermark


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, 1, hour, minute, tzinfo=UTC)


# --- what is asked for ----------------------------------------------------------------------------
ASKED = {
    Changes: ("/link", "/link?since=2024-05-01T05%3A55%3A00Z"),
    InOnePiece: ("/array", "/array?since=2024-05-01T05%3A55%3A00Z"),
    Posted: (
        '{"query": "\\u2026", "variables": {}}',
        '{"query": "\\u2026", "variables": {"since": "2024-05-01T05:55:00Z"}}',
    ),
}


@pytest.mark.parametrize("kind", ASKED)
def test_a_read_asks_from_the_latest_change_met_before_less_the_overlap(api: ChangingApi, kind: type[Changes]) -> None:
    whole, delta = ASKED[kind]
    first = ingest(api, kind)
    assert (api.requests[0], first.counters["new"], read_watermark()) == (whole, 6, at(6))
    api.records += [make(7, "07:00"), make(1, "07:30", "Mended")]
    second = ingest(api, kind)
    assert api.requests[0] == delta
    assert (second.status, second.counters["new"], second.counters["updated"]) == (Status.SUCCESS, 1, 1)
    assert (len(list_titles()), list_titles()["n1"], read_watermark()) == (7, "Mended", at(7, 30))


FORMATS = {
    "iso": ("2024-05-01T05%3A55%3A00Z", "2024-05-02T00%3A00%3A01Z"),
    "seconds": ("1714542900", "1714608001"),
    "milliseconds": ("1714542900000", "1714608000500"),
    "date": ("2024-05-01", "2024-05-03"),
    "%Y%m%d%H%M": ("202405010555", "202405020001"),
    "updated_at ge %Y-%m-%dT%H:%M:%SZ": ("updated_at+ge+2024-05-01T05%3A55%3A00Z", None),
}


@pytest.mark.parametrize("form", FORMATS)
def test_bounds_are_sent_in_the_declared_format_and_never_exclude_what_is_within(form: str) -> None:
    since, until = FORMATS[form]
    declared = Since("since", of="updated_at", format=form, until="until")
    options = choose_window(
        type("Formed", (Changes,), {"since": declared})(), "2024-05-01T05:55", "2024-05-02T00:00:00.5"
    )
    assert options.window is not None
    source = Changes()
    source.base_url = "http://api"
    url = declared.ask(source._request(), options.window).url
    assert f"since={since}" in url
    assert until is None or url.endswith(f"until={until}")


def test_the_first_read_begins_at_the_declared_start(api: ChangingApi) -> None:
    declared = Since("since", of="updated_at", start=at(4), overlap=timedelta(hours=3))
    started = type("Started", (Changes,), {"since": declared})
    ingest(api, started)
    assert (api.requests[0], sorted(list_titles())) == ("/link?since=2024-05-01T04%3A00%3A00Z", ["n4", "n5", "n6"])
    ingest(api, started)
    assert api.requests[0] == "/link?since=2024-05-01T04%3A00%3A00Z"


@pytest.mark.parametrize(
    ("kind", "options"),
    [(Changes, Options(full=True)), (Another, PLAIN), (OtherQuery, PLAIN)],
    ids=["full", "another contract", "another query"],
)
def test_without_a_watermark_of_its_own_everything_is_asked_for(
    api: ChangingApi, kind: type[Changes], options: Options
) -> None:
    ingest(api)
    again = ingest(api, kind, options)
    assert "since" not in api.requests[0]
    assert (again.status, again.counters["unchanged"], read_watermark()) == (Status.SUCCESS, 6, at(6))
    ingest(api, kind)
    assert "since=2024-05-01T05" in api.requests[0]


def test_a_source_that_gets_since_reads_the_same_content_once_more_for_its_watermark(api: ChangingApi) -> None:
    ingest(api, Plain)
    assert ingest(api, Plain).reason == Reason.UNCHANGED
    assert (ingest(api, InOnePiece).counters["unchanged"], read_watermark()) == (6, at(6))


# --- nothing is missed ----------------------------------------------------------------------------
def test_a_change_at_the_watermark_and_one_that_was_committed_late_are_read(api: ChangingApi) -> None:
    ingest(api)
    api.records += [make(7, "06:00"), make(8, "05:56")]
    assert ingest(api).counters["new"] == 2
    assert read_watermark() == at(6)


def test_a_time_in_the_future_moves_nothing(api: ChangingApi) -> None:
    api.records.insert(0, make(7, "2099-01-01T00:00:00Z"))
    assert ingest(api).counters["new"] == 7
    assert read_watermark() == at(6)


def test_a_change_during_the_walk_moves_nothing(api: ChangingApi) -> None:
    """A record that was read before it changed in the same walk is read again by the next one."""
    original = api.answer

    def change_in_between(path: str, query: Any, body: Any) -> Any:
        if query.get("cursor") == "4":
            now = datetime.now(UTC) + timedelta(seconds=1)
            api.records.append(make(7, now.isoformat(timespec="seconds").replace("+00:00", "Z")))
        return original(path, query, body)

    api.answer = change_in_between  # type: ignore[method-assign]
    assert ingest(api).counters["new"] == 7
    assert read_watermark() == at(6)


def test_a_refused_record_moves_the_watermark_and_stays_in_quarantine(api: ChangingApi) -> None:
    ingest(api)
    api.records += [make(7, "07:00"), make(8, "08:00", title="")]
    assert ingest(api).reason == Reason.RECORDS_REFUSED
    assert read_watermark() == at(8)
    api.records = [make(9, "09:00")]
    assert ingest(api).status == Status.SUCCESS
    assert QuarantinedRecord.objects.get().status == "open"
    api.records = [make(8, "10:00", title="Mended")]
    ingest(api)
    assert QuarantinedRecord.objects.get().status == "landed"


def test_a_failed_delta_moves_nothing(api: ChangingApi) -> None:
    ingest(api)
    api.records += [make(number, "08:00", title="") for number in range(10, 17)]
    assert ingest(api).reason == Reason.TOO_MANY_REFUSED
    assert read_watermark() == at(6)
    ingest(api)
    assert "since=2024-05-01T05%3A55" in api.requests[0]


def test_a_delta_that_was_cut_goes_on_with_its_since_and_the_latest_change_met_before(api: ChangingApi) -> None:
    ingest(api)
    api.records = [make(7, "12:00"), make(8, "08:00"), make(9, "09:00"), make(10, "08:30"), make(11, "07:00")]
    mend = cut_at(api, "4")
    assert ingest(api).status == Status.FAILED
    assert (read_watermark(), len(list_titles())) == (at(6), 10)
    mend()
    assert ingest(api).counters["seen"] == 1
    assert api.requests == ["/link?since=2024-05-01T05%3A55%3A00Z&cursor=4"]
    assert (read_watermark(), len(list_titles())) == (at(12), 11)
    assert JudgedRead.objects.count() == 2


def test_a_cut_full_walk_is_resumed_by_a_plain_run_without_since(api: ChangingApi) -> None:
    ingest(api)
    mend = cut_at(api, "4")
    ingest(api, options=Options(full=True))
    mend()
    assert ingest(api).counters["seen"] == 2
    assert api.requests == ["/link?cursor=4"]


def test_killed_in_a_delta_each_change_lands_and_the_watermark_moves_at_its_end(
    api: ChangingApi, project: Project
) -> None:
    variables = {"ETL_SOURCES": "tests.paged_source.Changing", "PAGED_URL": api.url, "ETL_BATCH_SIZE": "2"}
    project.ingest("changing", **variables)
    api.records = [make(7, "12:00"), *(make(number, "08:00") for number in range(8, 30))]
    api.forget()
    api.hold(6)
    process = project.start("ingest", "changing", **variables)
    wait_until(lambda: len(api.requests) >= 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    api.forget()
    assert read_watermark() == at(6)
    (outcome,) = project.ingest("changing", **variables)
    assert (outcome["status"], read_watermark(), len(list_titles())) == ("success", at(12), 29)


# --- a delta is not a whole read ------------------------------------------------------------------
def test_a_delta_without_a_record_is_a_success_and_removes_nothing(api: ChangingApi) -> None:
    ingest(api)
    api.records = []
    delta = ingest(api)
    assert (delta.status, delta.reason, len(list_titles()), read_watermark()) == (Status.SUCCESS, Reason.NONE, 6, at(6))
    assert list(JudgedRead.objects.order_by("number").values_list("is_whole", flat=True)) == [True, False]
    assert Checkpoint.objects.get().accepted_read == 1


def test_a_delta_reports_a_new_field_and_never_a_removed_or_a_narrower_one(api: ChangingApi) -> None:
    api.records = [make(number, "01:00", size=number, label=None if number % 2 else "a") for number in range(1, 20)]
    ingest(api)
    api.records = [make(number, "02:00", label="b", owner="olga") for number in range(1, 4)]
    ingest(api)
    changes = list(SchemaChange.objects.values_list("path", "kind"))
    assert ("owner", "added") in changes
    assert not {"label", "title"}.intersection(path for path, _ in changes)
    assert "removed" not in [kind for _, kind in changes]
    count = len(changes)
    api.records = [make(number, "03:00", size=1, label=None) for number in range(1, 4)]
    ingest(api)
    assert SchemaChange.objects.count() == count


# --- validators -----------------------------------------------------------------------------------
def test_a_validator_is_sent_only_for_the_same_bounds(api: ChangingApi) -> None:
    ingest(api, InOnePiece)
    ingest(api, InOnePiece)
    assert "if-none-match" not in api.headers[0]
    same = ingest(api, InOnePiece)
    assert "if-none-match" in api.headers[0]
    assert (same.status, same.reason) == (Status.SUCCESS, Reason.UNCHANGED)
    api.records.append(make(7, "07:00"))
    assert ingest(api, InOnePiece).counters["new"] == 1
    ingest(api, InOnePiece)
    assert "if-none-match" not in api.headers[0]


# --- windows --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ASKED)
def test_a_window_is_fetched_again_and_what_is_stored_and_equal_stays(api: ChangingApi, kind: type[Changes]) -> None:
    ingest(api, kind)
    before = Checkpoint.objects.get()
    api.records[1]["title"] = "Mended"  # without another time, so no delta shows it
    window = fetch(api, "2024-05-01T02:00:00Z", "2024-05-01T05:00:00+02:00", kind)
    assert "since" in api.requests[0]
    assert "until" in api.requests[0]
    counted = {name: count for name, count in window.counters.items() if count}
    assert (window.status, counted) == (Status.SUCCESS, {"seen": 2, "updated": 1, "unchanged": 1})
    after = Checkpoint.objects.get()
    assert (after.watermark, after.watermark_of) == (before.watermark, before.watermark_of)
    assert (after.accepted_read, len(list_titles())) == (before.accepted_read, 6)
    assert JudgedRead.objects.order_by("number").last().is_whole is False  # type: ignore[union-attr]
    ingest(api, kind)
    assert "05:55" in api.requests[0].replace("%3A", ":")


def test_an_empty_window_changes_nothing_that_later_reads_need(api: ChangingApi) -> None:
    ingest(api, InOnePiece)
    ingest(api, InOnePiece)
    before = Checkpoint.objects.values("fingerprint", "validators", "watermark", "watermark_of", "accepted_read").get()
    assert fetch(api, "2024-06-01", kind=InOnePiece).status == Status.SUCCESS
    assert Checkpoint.objects.filter(**before).exists()


@pytest.mark.parametrize(
    ("kind", "since", "until", "complaint"),
    [
        (Plain, "2024-01-01", "", "declares no `since`"),
        (Endless, "2024-01-01", "2024-01-02", "takes no end"),
        (Changes, "", "2024-01-02", "needs its beginning"),
        (Changes, "yesterday", "", "since must be a day or a time such as 2024-01-31"),
        (Changes, "2024-01-01", "2024-01-01", "until must be later"),
        (Changes, "2099-01-01", "", "must not be in the future"),
        (Changes, "0001-01-01T00:00:00+14:00", "", "since must be a day or a time"),
    ],
)
def test_a_window_that_can_not_be_fetched_is_refused(
    kind: type[Changes], since: str, until: str, complaint: str
) -> None:
    with pytest.raises(WindowRefused, match=complaint):
        choose_window(kind(), since, until)


def test_a_plain_run_does_not_take_over_a_window_whose_process_died(api: ChangingApi) -> None:
    ingest(api)
    window = choose_window(Changes(), "2024-05-01", "2024-05-02")
    dead = orders.queue("changes", trigger=Trigger.COMMAND, by="a test", options=window)
    start_queued(dead)
    end_lease("changes")
    ingest(api)
    assert "until" not in api.requests[0]
    successor = Run.objects.get(status=Status.QUEUED)
    assert Options.from_json(successor.options) == window


# --- fields that hold the time --------------------------------------------------------------------
class Epochs(Contract):
    id: NonBlank
    title: NonBlank
    updated_at: Time = field(epoch="seconds")


class Days(Contract):
    id: NonBlank
    title: NonBlank
    updated_at: Date


@pytest.mark.parametrize(
    ("contract", "value", "expected"),
    [
        (Change, "2024-05-01T06:00:00+02:00", at(4)),
        (Change, "soon", None),
        (Change, None, None),
        (Epochs, "1714543200", at(6)),
        (Days, "2024-05-01", at(0)),
    ],
)
def test_the_time_of_a_change_is_read_as_the_contract_says(
    contract: type[Contract], value: Any, expected: datetime | None
) -> None:
    source = type("Timed", (Changes,), {"contract": contract})()
    assert source.find_change_time({"id": "1", "updated_at": value}) == expected
