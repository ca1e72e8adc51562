"""Actions of operators in the admin: their results, and the log of who did them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from etl import tasks
from etl.clock import read_clock
from etl.exceptions import NotFound, Overtaken
from etl.execution import executor
from etl.models import Checkpoint, QuarantinedRecord, Run, SchemaChange
from etl.operations import quarantine
from etl.operations import sources as source_operations
from etl.runs import ending, schedule, starting
from etl.storage.refusal_selection import Selection
from etl.vocabulary import Status
from tests.admin.rows import HOSTILE, Idle, Wares, count, make_refused, make_run, make_snapshots
from tests.listed_source import ingest_here

RUNS = "/admin/etl/run/"
QUARANTINE = "/admin/etl/quarantinedrecord/"


def act(client: Client, address: str, action: str, ticked: list[int], *, across: bool = False, **more: str) -> str:
    """Post an action on ticked rows as the list's form does, and return the resulting page."""
    data = {"action": action, "_selected_action": ticked, "select_across": str(int(across)), **more}
    return client.post(address, data, follow=True).content.decode()


def press(client: Client, model: str, pk: object, button: str) -> str:
    return client.post(reverse(f"admin:etl_{model}_press", args=[pk, button]), follow=True).content.decode()


def read_log() -> list[tuple[str, str | None, str]]:
    entries = LogEntry.objects.order_by("pk").select_related("user")
    return [(entry.user.username, entry.object_id, entry.change_message) for entry in entries]


def keep_counts() -> None:
    """Make checkpoints with the right counts for rows that a test has made by hand."""
    for source in set(QuarantinedRecord.objects.values_list("source", flat=True)):
        Checkpoint.objects.get_or_create(source=source)
        open_count = QuarantinedRecord.objects.filter(source=source, status="open").count()
        Checkpoint.objects.filter(source=source).update(open_quarantine_count=open_count)


def test_run_now_queues_a_run_triggered_by_the_admin(operator: Client) -> None:
    text = press(operator, "checkpoint", "idle", "run")
    run = Run.objects.get()
    assert (run.source, run.trigger, run.options) == ("idle", "admin", {})
    assert run.key.startswith("admin:")
    assert run.events.get().message == "Queued by operator in the admin."
    assert f'<a href="/admin/etl/run/{run.pk}/change/">run {run.pk}</a>' in text
    assert read_log() == [("operator", "idle", f"Source idle will be read: run {run.pk}")]


def test_a_full_read_asks_for_confirmation(operator: Client) -> None:
    address = reverse("admin:etl_checkpoint_press", args=["wares", "full"])
    assert "all content of wares again" in operator.get(address).content.decode()
    assert not Run.objects.exists()
    operator.post(address)
    assert Run.objects.get().options == {"full": True}


def test_run_again_has_the_same_source_and_options(operator: Client) -> None:
    run = make_run(options={"full": True})
    press(operator, "run", run.pk, "again")
    queued = Run.objects.get(status="queued")
    assert (queued.source, queued.options, queued.trigger) == ("wares", {"full": True}, "admin")


def test_a_replay_run_again_belongs_to_the_requesting_user(operator: Client) -> None:
    run = make_run(trigger="replay", options={"selection": {"source": "wares"}, "user": 999_999})
    press(operator, "run", run.pk, "again")
    queued = Run.objects.get(status="queued")
    assert queued.trigger == "replay"
    assert queued.options["selection"] == {"source": "wares"}
    assert queued.options["user"] != 999_999


def test_run_again_of_an_unknown_source_is_refused(operator: Client) -> None:
    text = press(operator, "run", make_run("gone").pk, "again")
    assert "ETL_SOURCES has no source gone." in text
    assert not Run.objects.filter(status="queued").exists()
    assert read_log() == []


def test_two_ticked_runs_are_run_again(operator: Client) -> None:
    ticked = [make_run("wares").pk, make_run("idle").pk]
    act(operator, RUNS, "run_again", ticked)
    assert set(Run.objects.filter(status="queued").values_list("source", flat=True)) == {"wares", "idle"}
    assert {entry[1] for entry in read_log()} == {str(pk) for pk in ticked}


def test_cancel_ends_open_runs_and_reports_closed_ones(operator: Client) -> None:
    waiting = make_run(status="queued", started_at=None, finished_at=None)
    closed = make_run()
    text = act(operator, RUNS, "cancel", [waiting.pk, closed.pk])
    waiting.refresh_from_db()
    assert (waiting.status, waiting.reason, waiting.error) == (
        "failed",
        "cancelled",
        "Cancelled by operator in the admin.",
    )
    assert f"Run {closed.pk} can" not in text
    assert f"Run {closed.pk} is closed already" in text
    assert read_log() == [("operator", str(waiting.pk), f"Run {waiting.pk} of wares is cancelled.")]


def test_two_runs_are_compared_with_the_earlier_one_first(operator: Client) -> None:
    a, b = make_run("wares", **count(new=100)), make_run("wares", **count(new=10))
    text = act(operator, RUNS, "compare", [b.pk, a.pk])
    assert f"Run {a.pk} and run {b.pk}" in text
    assert "Records fell by 90%" in text


def test_a_comparison_shows_names_in_full_and_times_to_the_second(operator: Client) -> None:
    started = datetime(2026, 11, 22, 14, 53, 24, 120_000, tzinfo=UTC)
    name = "TICKETS of a long name \u202e"
    a, b = make_run(name, started_at=started), make_run("TICKETS")
    text = act(operator, RUNS, "compare", [a.pk, b.pk])
    assert "<bdi>TICKETS of a long name ⟨U+202E⟩</bdi></td>" in text
    assert "<bdi>TICKETS</bdi></td>" in text
    assert ">2026-11-22 14:53:24</td>" in text


@pytest.mark.parametrize("number", [1, 3])
def test_only_exactly_two_runs_can_be_compared(number: int, operator: Client) -> None:
    assert "exactly two" in act(operator, RUNS, "compare", [make_run().pk for _ in range(number)])


def test_a_change_is_acknowledged_once_by_an_operator(operator: Client) -> None:
    *_, change = make_snapshots()
    assert "not yet" in operator.get("/admin/etl/schemachange/?acknowledged=no").content.decode()
    act(operator, "/admin/etl/schemachange/", "acknowledge", [change.pk])
    change.refresh_from_db()
    assert str(change.acknowledged_by) == "operator"
    assert read_log() == [("operator", str(change.pk), "Acknowledged.")]
    assert "0 schema changes" in operator.get("/admin/etl/schemachange/?acknowledged=no").content.decode()
    assert press(operator, "schemachange", change.pk, "acknowledge").count("no longer possible") == 1
    assert SchemaChange.objects.get().acknowledged_at == change.acknowledged_at


def test_two_snapshots_are_compared_field_by_field(operator: Client) -> None:
    first, second, _ = make_snapshots(path="colour")
    text = act(operator, "/admin/etl/schemasnapshot/", "compare", [first.pk, second.pk])
    assert '<tr class="etl-added"><th scope="row"><bdi>colour</bdi>' in text
    reverse_text = operator.get(f"/admin/etl/schemasnapshot/{first.pk}/change/?against={second.pk}").content.decode()
    assert '<tr class="etl-removed"><th scope="row"><bdi>colour</bdi>' in reverse_text


def test_one_record_is_replayed_in_a_run(operator: Client) -> None:
    ingest_here(Wares())
    refused = QuarantinedRecord.objects.get()
    text = press(operator, "quarantinedrecord", refused.pk, "replay")
    run = Run.objects.get(trigger="replay")
    assert f"/admin/etl/run/{run.pk}/change/" in text
    executor.execute_queued(run.pk)
    assert Run.objects.get(pk=run.pk).status == "partial"  # it still breaks the contract
    assert read_log()[0][1] == str(refused.pk)


def test_ticked_records_are_replayed_in_one_run_per_source(operator: Client) -> None:
    ticked = [make_refused(1), make_refused(2), make_refused(1, source="idle"), make_refused(3, status="discarded")]
    text = act(operator, QUARANTINE, "replay", [record.pk for record in ticked])
    queued = Run.objects.filter(trigger="replay")
    assert {run.source for run in queued} == {"wares", "idle"}
    assert queued[0].options["selection"] == {"ids": [record.pk for record in ticked[:3]]}
    assert "3 ticked records (1 skipped: no longer open or gone)" in text
    assert len(read_log()) == 3


def test_all_matching_records_are_selected_by_the_filters(operator: Client) -> None:
    run = make_run()
    make_refused(1, run=run)
    make_refused(2, run=run, code="blank")
    make_refused(1, source="idle")
    address = f"{QUARANTINE}?source=wares&code=blank&run={run.pk}&status=open"
    text = act(operator, address, "replay", [1], across=True)
    queued = Run.objects.get(trigger="replay")
    assert queued.options["selection"] == {"source": "wares", "code": "blank", "run": run.pk}
    assert f"all open records of source wares, code blank, run {run.pk}" in text
    assert read_log()[0][1] is None


@pytest.mark.parametrize(
    "filters",
    ["column_name=price", "status=discarded", "source=wares&column_name=price", "q=x", "run=x", "code=a%00b", "run=0"],
)
@pytest.mark.parametrize("action", ["replay", "discard"])
def test_filters_that_a_selection_can_not_express_are_refused(action: str, filters: str, operator: Client) -> None:
    ticked = make_refused(1).pk
    make_refused(2, column_name="name")
    keep_counts()
    for confirmed in ("", "1"):
        act(operator, f"{QUARANTINE}?{filters}", action, [ticked], across=True, is_confirmed=confirmed)
    assert not Run.objects.filter(trigger="replay").exists()
    assert QuarantinedRecord.objects.filter(status="open").count() == 2
    assert read_log() == []


def test_discarding_asks_for_confirmation_and_keeps_the_count(operator: Client) -> None:
    records = [make_refused(number) for number in range(1, 4)]
    keep_counts()
    ticked = [record.pk for record in records[:2]]
    text = act(operator, QUARANTINE, "discard", ticked)
    assert "This discards <strong>2 ticked records</strong> (2 open)." in text
    assert QuarantinedRecord.objects.filter(status="open").count() == 3
    text = act(operator, QUARANTINE, "discard", ticked, is_confirmed="1")
    assert "2 discarded (2 ticked records)." in text
    assert Checkpoint.objects.get(source="wares").open_quarantine_count == 1
    discarded = QuarantinedRecord.objects.filter(status="discarded")
    assert {str(record.resolved_by) for record in discarded} == {"operator"}
    assert len(read_log()) == 2


def test_many_records_are_discarded_by_a_worker(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        make_refused(number)
    keep_counts()
    monkeypatch.setattr("etl.admin.quarantine.MOST_AT_ONCE", 2)
    sent: list[Any] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **more: sent.append((name, args)))
    address = f"{QUARANTINE}?source=wares"
    assert "more than 2 open" in act(operator, address, "discard", [1], across=True)
    assert "in the background" in act(operator, address, "discard", [1], across=True, is_confirmed="1")
    assert QuarantinedRecord.objects.filter(status="open").count() == 3
    ((name, arguments),) = sent
    assert name == tasks.discard.name
    tasks.discard(*arguments)
    assert QuarantinedRecord.objects.filter(status="open").count() == 0
    assert QuarantinedRecord.objects.filter(resolved_by__username="operator").count() == 3


def test_without_a_broker_nothing_is_discarded_later(operator: Client, settings: Any) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise OSError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(current_app, "send_task", fail)
        patch.setattr("etl.admin.quarantine.MOST_AT_ONCE", 0)
        make_refused()
        text = act(operator, f"{QUARANTINE}?source=wares", "discard", [1], across=True, is_confirmed="1")
    assert "No worker can be reached now" in text
    assert read_log() == []


def test_the_open_records_of_a_selection_are_counted_up_to_a_limit() -> None:
    for number in range(1, 4):
        make_refused(number)
    assert quarantine.count_open(Selection(source="wares"), most=2) == 2
    assert quarantine.count_open(Selection(source="idle"), most=2) == 0


def test_a_paused_source_is_not_due_until_it_is_resumed(operator: Client) -> None:
    press(operator, "checkpoint", "idle", "pause")
    assert schedule.find_due(Idle(), read_clock()) is None
    assert not PeriodicTask.objects.get(name="ingest idle").enabled
    assert "paused" in operator.get("/admin/etl/checkpoint/").content.decode()
    press(operator, "checkpoint", "idle", "resume")
    assert schedule.find_due(Idle(), read_clock()) is not None
    assert [entry[1] for entry in read_log()] == ["idle", "idle"]


def test_beat_notices_a_changed_schedule() -> None:
    from django_celery_beat.models import PeriodicTasks

    source_operations.pause("idle")
    before = PeriodicTasks.last_change()
    source_operations.resume("idle")
    assert PeriodicTasks.last_change() > before


def test_a_source_that_is_not_configured_cannot_be_paused() -> None:
    with pytest.raises(NotFound):
        source_operations.pause("gone")


def test_releasing_asks_for_confirmation_and_explains_itself(operator: Client) -> None:
    started = starting.start_at_terminal("wares")
    assert isinstance(started, starting.Started)
    address = reverse("admin:etl_checkpoint_press", args=["wares", "release"])
    text = operator.get(address).content.decode()
    assert f"ends the ownership of run {started.run.pk}" in text
    assert "writes nothing further" in text
    assert Run.objects.get(pk=started.run.pk).status == "running"


def test_a_released_run_is_closed_and_writes_nothing_further(operator: Client) -> None:
    started = starting.start_at_terminal("wares")
    assert isinstance(started, starting.Started)
    before = Checkpoint.objects.get(source="wares")
    press(operator, "checkpoint", "wares", "release")
    run, after = Run.objects.get(pk=started.run.pk), Checkpoint.objects.get(source="wares")
    assert (run.status, run.reason, run.error) == (
        "failed",
        "released",
        "Its lease was released by operator in the admin.",
    )
    assert after.epoch == before.epoch + 1
    assert (after.owner, after.owner_run_id, after.lease_expires_at) == ("", None, None)
    with pytest.raises(Overtaken):
        ending.end(started.claim, ending.finished(Status.SUCCESS))
    assert Run.objects.count() == 1  # it has no successor
    assert ingest_here(Wares()).status == "partial"  # and the source is free
    assert read_log()[0][2] == f"The lease of wares is released; run {run.pk} is closed as failed (released)."


def test_a_free_source_can_not_be_released(operator: Client) -> None:
    ingest_here(Wares())
    assert "release" not in operator.get("/admin/etl/checkpoint/wares/change/").content.decode()
    assert source_operations.release("wares", by="a test") is None
    assert set(Run.objects.values_list("status", flat=True)) == {"partial"}


def test_a_source_that_has_never_run_has_its_row_and_its_page(viewer: Client) -> None:
    assert "never run" in viewer.get("/admin/etl/checkpoint/").content.decode()
    assert "It has never run." in viewer.get("/admin/etl/checkpoint/idle/change/").content.decode()
    assert not Checkpoint.objects.exists()


def test_only_users_who_may_edit_schedules_get_the_link(operator: Client) -> None:
    source_operations.resume("idle")
    from tests.admin.people import make_client

    address = "/admin/etl/checkpoint/idle/change/"
    assert "periodictask" not in operator.get(address).content.decode()
    assert "periodictask" in make_client("superuser").get(address).content.decode()


def test_a_run_shows_its_error_its_advice_and_its_neighbours(viewer: Client) -> None:
    first = make_run(status="failed", reason="abandoned", error="Its process was gone.")
    successor = make_run(key=f"successor:{first.pk}", started_at=timezone.now() - timedelta(seconds=5))
    text = viewer.get(f"{RUNS}{first.pk}/change/").content.decode()
    assert "Its process was gone." in text
    assert "docs/runbook.md, “abandoned”" in text
    assert f"Run {successor.pk}, its successor" in text
    assert f"Run {first.pk}, its predecessor" in viewer.get(f"{RUNS}{successor.pk}/change/").content.decode()


def test_the_actions_on_a_row_are_on_its_page(operator: Client, viewer: Client) -> None:
    press(operator, "checkpoint", "idle", "pause")
    text = viewer.get("/admin/etl/checkpoint/idle/history/").content.decode()
    assert "<strong>operator</strong>" in text
    assert "Source idle is paused" in text


def fetch_window(client: Client, source: str, **given: str) -> str:
    address = reverse("admin:etl_checkpoint_press", args=[source, "window"])
    return client.post(address, given, follow=True).content.decode()


def test_a_window_is_fetched_again_from_a_form(operator: Client, settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.paged_source.Changing", "tests.admin.rows.Idle"]
    form = operator.get(reverse("admin:etl_checkpoint_press", args=["changing", "window"])).content.decode()
    assert ('name="since"' in form, 'name="until"' in form) == (True, False)
    assert "Since must be a day or a time" in fetch_window(operator, "changing", since="soon")
    assert HOSTILE not in fetch_window(operator, "changing", since=HOSTILE)
    assert not Run.objects.exists()
    fetch_window(operator, "changing", since="2024-01-01")
    run = Run.objects.get()
    assert run.options == {"since": "2024-01-01T00:00:00+00:00"}
    assert "what has changed since 2024-01-01" in operator.get(f"{RUNS}{run.pk}/change/").content.decode()
    assert "That is no longer possible" in fetch_window(operator, "idle", since="2024-01-01")
