"""The page of a source: its lease and its next due time."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from etl.clock import from_now
from etl.models import Checkpoint
from etl.runs import schedule
from tests.admin.rows import Idle


class Nightly(Idle):
    every = "30 2 * * *"  # type: ignore[assignment]
    zone = "Europe/Paris"


def show(client: Client, source: str = "idle") -> str:
    response = client.get(reverse("admin:etl_checkpoint_change", args=[source]))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("has_zones", [True, False], ids=["USE_TZ on", "USE_TZ off"])
def test_a_source_shows_when_its_lease_ends(viewer: Client, settings: Any, has_zones: bool) -> None:
    settings.TIME_ZONE, settings.USE_TZ = "Asia/Kathmandu", has_zones
    Checkpoint.objects.create(source="wares", owner="a worker", lease_expires_at=from_now(600))
    assert "its lease ends in 10 min unless renewed" in show(viewer, "wares")
    Checkpoint.objects.update(lease_expires_at=from_now(-1))
    assert "its lease has expired" in show(viewer, "wares")


@pytest.mark.parametrize(
    ("now", "due"),
    [("2026-03-28T20:00", "2026-03-29 01:30"), ("2026-10-24T20:00", "2026-10-25 00:30")],
    ids=["02:30 does not exist", "02:30 exists twice"],
)
def test_the_next_due_time_is_that_of_the_schedule_on_a_change_night(
    viewer: Client, monkeypatch: pytest.MonkeyPatch, now: str, due: str
) -> None:
    schedule.make_missing_entry(Nightly())
    monkeypatch.setattr("etl.admin.sources.read_clock", lambda: datetime.fromisoformat(now).replace(tzinfo=UTC))
    for text in (show(viewer), viewer.get(reverse("admin:etl_checkpoint_changelist")).content.decode()):
        assert due in text


def test_a_source_whose_schedule_is_off_shows_no_next_due_time(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule.switch(Idle(), is_enabled=False)
    now = datetime(2026, 3, 28, 20, 20, tzinfo=UTC)
    monkeypatch.setattr("etl.admin.sources.read_clock", lambda: now)
    assert "2026-03-28 21:00" not in show(viewer)
    schedule.switch(Idle(), is_enabled=True)
    assert "2026-03-28 21:00" in show(viewer)
