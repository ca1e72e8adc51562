"""Hostile strings of a source are shown on every page and do nothing."""

import json
from hashlib import sha256

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from etl.admin.formatting import flatten, make_visible, show_original
from etl.models import QuarantinedRecord, Run
from etl.operations import runs as run_operations
from tests.admin.people import make_client
from tests.admin.rows import HOSTILE, Wares, make_hostile, make_refused
from tests.listed_source import ingest_here

UNSAFE = ("<script>alert", "<img src=x", '<b onclick="x">', "\u202e", "\u2066", "\x1b", "\x07", "\x00")


def list_addresses() -> list[str]:
    shown = make_hostile()
    pages = [reverse("admin:index"), reverse("admin:overview"), reverse("admin:admin_logentry_changelist")]
    for row in shown.rows:
        name = row._meta.model_name
        pages.append(reverse(f"admin:etl_{name}_changelist"))
        pages += [reverse(f"admin:etl_{name}_{page}", args=[quote(row.pk)]) for page in ("change", "history")]
    pages.append(f"{reverse('admin:etl_run_compare')}?a={shown.run.pk}&b={shown.run.pk}")
    pages.append(reverse("admin:etl_checkpoint_press", args=[quote(shown.checkpoint.pk), "release"]))
    return pages


def test_no_page_shows_hostile_strings_unescaped() -> None:
    client = make_client("superuser")
    for address in list_addresses():
        response = client.get(address)
        assert response.status_code == 200, address
        text = response.content.decode()
        assert [unsafe for unsafe in UNSAFE if unsafe in text] == [], address
        assert "49" not in text.split("gnp.")[-1][:20], address


@pytest.mark.parametrize(
    "filters", [f"q={quote(HOSTILE)}", "source=%3Cscript%3Ealert(1)", "code=%00", "run=%3Cscript%3E"]
)
@pytest.mark.parametrize("name", ["run", "quarantinedrecord", "unifiedrecord", "rawcsvrecord"])
def test_no_hostile_filter_breaks_a_list(name: str, filters: str, viewer: Client) -> None:
    response = viewer.get(f"{reverse(f'admin:etl_{name}_changelist')}?{filters}", follow=True)
    assert response.status_code in (200, 400)
    assert "<script>alert" not in response.content.decode()


@pytest.mark.parametrize("address", ["run/99999999999999999999999/", "run/x/", "checkpoint/%00/", "unifiedrecord/0/"])
def test_a_missing_row_is_reported(address: str, viewer: Client) -> None:
    response = viewer.get(f"/admin/etl/{address}change/", follow=True)
    assert response.status_code == 200
    assert "There is no such" in response.content.decode()


def test_a_refused_record_shows_its_cell_its_position_and_its_original(viewer: Client) -> None:
    ingest_here(Wares())
    refused = QuarantinedRecord.objects.get()
    text = viewer.get(reverse("admin:etl_quarantinedrecord_change", args=[refused.pk])).content.decode()
    marked = text.split('<mark class="etl-cell">')[1].split("</mark>")[0]
    assert "alert(1)" in marked
    assert "<dd>3</dd>" in text
    assert f"<dd>{refused.line}</dd>" in text
    assert bytes(refused.original_sha256).hex() in text


def test_a_missing_column_is_marked(viewer: Client) -> None:
    refused = make_refused(column_name="price.amount", code="missing", payload='{"id": "1"}')
    text = viewer.get(reverse("admin:etl_quarantinedrecord_change", args=[refused.pk])).content.decode()
    assert '<mark class="etl-cell">(missing)</mark>' in text


def test_a_truncated_original_shows_its_full_length(viewer: Client) -> None:
    refused = make_refused(original=b"abc", original_length=70_000, original_sha256=sha256(b"long").digest())
    text = viewer.get(reverse("admin:etl_quarantinedrecord_change", args=[refused.pk])).content.decode()
    assert "70,000 bytes, of which the first 3 are stored" in text


def test_invisible_characters_become_visible_signs() -> None:
    assert make_visible("a\x1b\u202e\x7f\ud800b") == "a␛⟨U+202E⟩⟨U+007F⟩⟨U+D800⟩b"
    assert make_visible("Ünï – 漢字") == "Ünï – 漢字"
    assert show_original(b"a\xff\r\n\x00") == "a\\xff␍␊\n␀"


@pytest.mark.parametrize("payload", ["[" * 100_000, "{", "nul", '"' + "x" * 70_000 + '"', None])
def test_an_invalid_or_long_payload_has_no_fields(payload: str | None) -> None:
    assert flatten(payload) is None


def test_a_payload_keeps_its_numbers_and_distinguishes_strings_from_them() -> None:
    payload = json.dumps({"a": {"b": ["1", 1]}, "c": None, "d": {}, "e": []})[:-1] + ', "f": 1.50e99999}'
    expected = {"a.b[0]": '"1"', "a.b[1]": "1", "c": "null", "d": "{}", "e": "[]", "f": "1.50e99999"}
    assert flatten(payload) == expected


def test_hostile_strings_are_harmless_in_the_action_log(operator: Client) -> None:
    run = Run.objects.create(source="wares", key="k", trigger="api", status="queued", options={"full": True})
    run_operations.cancel(run.pk, by=HOSTILE)
    operator.post(reverse("admin:etl_run_press", args=[run.pk, "again"]))
    text = make_client("superuser").get(reverse("admin:admin_logentry_changelist")).content.decode()
    assert f"Run {run.pk} of wares was queued again" in text
    assert "<script>alert" not in text
