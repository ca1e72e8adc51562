"""Permissions: every address of the admin, for every kind of user."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from etl.admin.site import PAGES
from etl.models import Checkpoint, QuarantinedRecord, Run, SchemaChange
from tests.admin.people import KINDS, make_client
from tests.admin.rows import Shown, make_hostile, make_refused, make_run

MAY_VIEW = {"viewer", "operator", "superuser"}
MAY_ACT = {"operator", "superuser"}
ACTIONS = {
    "run": ("run_again", "cancel", "compare"),
    "quarantinedrecord": ("replay", "discard"),
    "schemasnapshot": ("compare",),
    "schemachange": ("acknowledge",),
}
BUTTONS = {
    "run": ("again", "cancel"),
    "quarantinedrecord": ("replay", "discard"),
    "schemachange": ("acknowledge",),
    "checkpoint": ("run", "full", "pause", "resume", "release"),
}


def expect(kind: str, allowed: set[str], status: int = 200) -> int:
    """The status for this kind of user at an address that only `allowed` kinds may use."""
    if kind in ("anonymous", "outsider"):
        return 302
    return status if kind in allowed else 403


@pytest.fixture
def shown() -> Shown:
    return make_hostile()


@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_pages_require_the_permission_to_view(kind: str, shown: Shown) -> None:
    client = make_client(kind)
    for row in shown.rows:
        name = row._meta.model_name
        for page, arguments in (("changelist", []), ("change", [quote(row.pk)]), ("history", [quote(row.pk)])):
            response = client.get(reverse(f"admin:etl_{name}_{page}", args=arguments))
            assert response.status_code == expect(kind, MAY_VIEW), (name, page)
    compare = client.get(reverse("admin:etl_run_compare"), {"a": shown.run.pk, "b": make_run().pk})
    assert compare.status_code == expect(kind, MAY_VIEW)


@pytest.mark.parametrize("kind", KINDS)
def test_no_user_can_add_change_or_delete_rows_of_the_pipeline(kind: str, shown: Shown) -> None:
    client = make_client(kind)
    before = [type(row).objects.filter(pk=row.pk).values().get() for row in shown.rows]
    for row in shown.rows:
        name = row._meta.model_name
        add, change, delete = (
            reverse(f"admin:etl_{name}_{page}", args=[quote(row.pk)] if page != "add" else [])
            for page in ("add", "change", "delete")
        )
        for response in (
            *(client.get(add), client.post(add, {"source": "x"})),
            *(client.post(change, {"source": "x", "_save": "1"}), client.put(change)),
            *(client.get(delete), client.post(delete, {"post": "yes"})),
        ):
            assert response.status_code == expect(kind, set()), name
    assert [type(row).objects.filter(pk=row.pk).values().get() for row in shown.rows] == before


@pytest.mark.parametrize("kind", KINDS)
def test_actions_require_an_operator_even_if_the_request_is_made_by_hand(kind: str) -> None:
    client = make_client(kind)
    run, refused, other = make_run(status="queued", started_at=None, finished_at=None), make_refused(), make_run()
    for name, actions in ACTIONS.items():
        for action in (*actions, "delete_selected"):
            ticked = {"run": [run.pk, other.pk], "quarantinedrecord": [refused.pk]}.get(name, [1])
            data = {"action": action, "_selected_action": ticked, "index": "0", "select_across": "0"}
            response = client.post(reverse(f"admin:etl_{name}_changelist"), data)
            assert response.status_code == 200 or response.status_code == expect(kind, MAY_ACT, 302), (name, action)
            if kind not in MAY_ACT:
                assert response.status_code == expect(kind, set()), (name, action)
    if kind not in MAY_ACT:
        assert Run.objects.count() == 2
        assert set(QuarantinedRecord.objects.values_list("status", flat=True)) == {"open"}
        assert not LogEntry.objects.exists()
    assert QuarantinedRecord.objects.count() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_buttons_require_an_operator_even_if_the_request_is_made_by_hand(kind: str, shown: Shown) -> None:
    client = make_client(kind)
    for name, buttons in BUTTONS.items():
        row = next(row for row in shown.rows if row._meta.model_name == name)
        for button in (*buttons, "no-such"):
            address = reverse(f"admin:etl_{name}_press", args=[quote(row.pk), button])
            for response in (client.get(address), client.post(address)):
                if kind in MAY_ACT:
                    assert response.status_code in (200, 302, 405)
                else:
                    assert response.status_code == expect(kind, set()), (name, button)
    if kind not in MAY_ACT:
        assert not LogEntry.objects.exists()
        assert SchemaChange.objects.get().acknowledged_at is None
        assert Checkpoint.objects.get(pk=shown.checkpoint.pk).owner


def test_every_address_of_the_admin_is_in_these_tests() -> None:
    pages = {"changelist", "change", "history", "add", "delete", "press"}
    known = {f"{model._meta.app_label}_{model._meta.model_name}_{page}" for model in PAGES for page in pages}
    prefixes = tuple(f"{model._meta.app_label}_{model._meta.model_name}_" for model in PAGES)
    names = {str(each.name) for each in _list_patterns(admin.site.urls[0]) if str(each.name).startswith(prefixes)}
    assert names == known | {"etl_run_compare"}


def _list_patterns(patterns: Any) -> list[Any]:
    found = []
    for each in patterns:
        found += _list_patterns(each.url_patterns) if hasattr(each, "url_patterns") else [each]
    return found


def test_these_tests_cover_all_actions(shown: Shown) -> None:
    assert {model._meta.model_name: page.actions for model, page in PAGES.items() if page.actions} == ACTIONS


@pytest.mark.parametrize("name", ["run", "quarantinedrecord", "schemachange", "schemasnapshot"])
def test_a_viewer_sees_no_actions_and_no_buttons(name: str, shown: Shown, viewer: Client) -> None:
    row = next(row for row in shown.rows if row._meta.model_name == name)
    for page, arguments in (("changelist", []), ("change", [quote(row.pk)])):
        text = viewer.get(reverse(f"admin:etl_{name}_{page}", args=arguments)).content.decode()
        assert 'name="action"' not in text
        assert "/press/" not in text


def test_a_viewer_sees_no_buttons_at_a_source(shown: Shown, viewer: Client, operator: Client) -> None:
    address = reverse("admin:etl_checkpoint_change", args=["idle"])
    assert "/press/" not in viewer.get(address).content.decode()
    assert "/press/" in operator.get(address).content.decode()


def test_a_button_needs_the_csrf_token_of_its_page(operator: Client) -> None:
    strict = Client(SERVER_NAME="localhost", enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    address = reverse("admin:etl_checkpoint_press", args=["wares", "run"])
    assert strict.post(address).status_code == 403
    assert not Run.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_action_log_requires_a_superuser(kind: str) -> None:
    response = make_client(kind).get(reverse("admin:admin_logentry_changelist"))
    assert response.status_code == expect(kind, {"superuser"})
