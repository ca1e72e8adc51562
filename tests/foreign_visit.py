"""Uses every part of Kasparro once in a foreign project and prints as JSON what it found.

Each answer is free of ids and times, so that two projects give the same.
"""

import io
import json
import os
import re
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import django
from celery import current_app
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
ANY_TIME = re.compile(r"\d{4}-\d\d-\d\dT|\d\d\.\d\d\.\d{4}")


def main() -> None:
    django.setup()
    print(json.dumps({name: attempt(visit) for name, visit in VISITS.items()}))


def attempt(visit: Callable[[], Any]) -> Any:
    try:
        return visit()
    except Exception:  # noqa: BLE001  the test shows it with what the other visits found
        return traceback.format_exc()


def run(*arguments: str) -> list[Any]:
    output = io.StringIO()
    status = 0
    with redirect_stdout(output), redirect_stderr(io.StringIO()):
        try:
            call_command(*arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
    return [status, output.getvalue()]


def ingest() -> Any:
    """Read the supplier's file, in which one record is refused that no other visit has seen."""
    text = Path("acme.csv").read_text(encoding="cp1252")
    Path("acme.csv").write_text(re.sub("Zange.*?;", f"Zange {os.getpid()};", text), encoding="cp1252")
    status, output = run("ingest", "acme_products", "--full", "--json")
    outcome = json.loads(output)
    return [status, outcome["seen"], outcome["quarantined"], outcome["status"]]


def commands() -> Any:
    return {name: run(name)[0] for name in ("check", "sources", "runs", "reads", "verify", "sweep", "drift")}


def make_client() -> Client:
    from shop.accounts.models import Account

    boss, _ = Account.objects.get_or_create(
        mail="boss@shop.example", defaults={"city": "Ulm", "is_staff": True, "is_superuser": True}
    )
    client = Client(raise_request_exception=False)
    client.force_login(boss)
    return client


def has_admin() -> bool:
    return apps.is_installed("django.contrib.admin")


def pages() -> Any:
    from etl.models import Run

    if not has_admin():
        return None
    client = make_client()
    names = ("run", "checkpoint", "judgedread", "quarantinedrecord", "schemachange", "unifiedrecord")
    addresses = [reverse(f"admin:etl_{name}_changelist") for name in names]
    addresses += [reverse("admin:etl_run_change", args=[Run.objects.values_list("pk", flat=True).earliest("pk")])]
    addresses += [reverse("admin:kasparro_api_token_changelist") + "?q=x", reverse("admin:kasparro_api_token_add")]
    bodies = {address: client.get(address) for address in ("/office/", *addresses)}
    home = bodies["/office/"].content.decode()
    return {
        "statuses": sorted({response.status_code for response in bodies.values()}),
        "home": ["Good morning." in home, "etl-nav" in home],
        "office on each": all(
            "The shop&#x27;s office" in r.content.decode() or "The shop's office" in r.content.decode()
            for r in bodies.values()
        ),
        "styled": "etl/admin.css" in bodies[addresses[0]].content.decode(),
        "linked to the overview": all(
            reverse("admin:etl_overview") in bodies[address].content.decode() for address in addresses[:-2]
        ),
        "overview": overview(client),
    }


def overview(client: Client) -> Any:
    """Whether it shows the source, and each time in UTC and each number of a drawing as HTML needs them."""
    text = client.get(reverse("admin:etl_overview")).content.decode()
    part = client.get(reverse("admin:etl_overview") + "?part").content.decode()
    times = re.findall(r'datetime="([^"]*)"', part)
    lengths = re.findall(r' (?:x|y|x1|x2|width|height)="([^"]*)"', part)
    return [
        *(name for name in ("acme_products",) if name in text and name in part),
        bool(times) and all(time.endswith("+00:00") for time in times),
        bool(lengths) and all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", length) for length in lengths),
        "<html" in text and "<html" not in part,
    ]


def addresses() -> Any:
    client = Client(raise_request_exception=False)
    return {
        "the shop's health": client.get("/api/health").json(),
        "the shop's run": reverse("run-detail", args=[7]),
        "ours": reverse("kasparro_api:run-detail", args=[7]),
        "anonymous": sorted({client.get(f"/supply/api/v1/{each}").status_code for each in CLOSED}),
        "health": client.get("/supply/api/v1/health").status_code,
    }


CLOSED = ("data", "runs", "quarantine", "sources", "reads", "stats", "metrics", "checkpoints", "schema-changes")


class Api:
    def __init__(self, scope: str) -> None:
        from api.access import tokens
        from api.models import Scope

        make_client()
        secret, _ = tokens.make("boss@shop.example", scope=Scope(scope))
        self.client = Client(headers={"Authorization": f"Token {secret}"})

    def get(self, path: str) -> Any:
        return self.client.get(f"/supply/api/{path}")

    def post(self, path: str, **content: Any) -> Any:
        return self.client.post(f"/supply/api/{path}", content, content_type="application/json")


def reading() -> Any:
    api = Api("read")
    answers = {path: api.get(f"v1/{path}") for path in (*CLOSED, "schema-snapshots", "changes?source=acme_products")}
    texts = [text for answer in answers.values() for text in list_texts(answer) if ANY_TIME.match(text)]
    return {
        "statuses": sorted({answer.status_code for answer in answers.values()}),
        "records": [record["external_id"] for record in answers["data"].json()["data"]],
        "times are all UTC": bool(texts) and all(UTC_TIME.fullmatch(text) for text in texts),
        "may not operate": api.post("v1/runs", source="acme_products").status_code,
    }


def list_texts(answer: Any) -> list[str]:
    with suppress(ValueError):
        return re.findall(r'"([^"]*)"', answer.content.decode())
    return []


def documents() -> Any:
    api = Api("read")
    schema = json.loads(api.client.get("/supply/api/schema", headers={"Accept": "application/json"}).content)
    return {
        "title": schema["info"]["title"],
        "only ours": sorted({path.split("/api/v1/")[0] for path in schema["paths"]}),
        "errors are described": "Problem" in schema["components"]["schemas"],
        "page": api.get("docs/").status_code,
        "root": next(iter(api.get("v1/").json().values())).endswith("/supply/api/v1/data"),
    }


def operating() -> Any:
    api = Api("operate")
    queued = api.post("v1/runs", source="acme_products")
    location = queued.headers.get("Location", "")
    run_id = queued.json().get("id")
    cancelled = api.post(f"v1/runs/{run_id}/cancel")
    again = api.post(f"v1/runs/{run_id}/cancel")
    (refused,) = [row["id"] for row in api.get("v1/quarantine?status=open").json()["data"]][:1] or [0]
    discarded = api.post(f"v1/quarantine/{refused}/discard")
    return {
        "queued": [queued.status_code, location.endswith(f"/supply/api/v1/runs/{run_id}")],
        "cancelled": [cancelled.status_code, cancelled.json().get("status")],
        "again": again.status_code,
        "discarded": [discarded.status_code, discarded.json().get("status")],
        "unknown": api.get("v1/runs/999999").status_code,
    }


def pressing() -> Any:
    """An operator's buttons in the admin."""
    from etl.models import Checkpoint

    if not has_admin():
        return None
    client = make_client()
    checkpoint = Checkpoint.objects.get(source="acme_products")
    press = reverse("admin:etl_checkpoint_press", args=[checkpoint.pk, "pause"])
    return client.post(press).status_code


def people() -> Any:
    """Who has accepted a read, while the user exists and afterwards."""
    from django.utils import timezone
    from shop.accounts.models import Account

    from etl.models import JudgedRead

    if not has_admin():
        return None
    client, api = make_client(), Api("read")
    read = JudgedRead.objects.earliest("pk")
    colleague = Account.objects.create(mail="colleague@shop.example", city="Ulm")
    JudgedRead.objects.filter(pk=read.pk).update(accepted_by=colleague, accepted_at=timezone.now())
    page = reverse("admin:etl_judgedread_change", args=[read.pk])

    def look() -> list[Any]:
        listed = {row["id"]: row["accepted_by"] for row in api.get("v1/reads").json()["data"]}
        found = [listed[read.pk], api.get(f"v1/reads/{read.pk}").json()["accepted_by"]]
        return [*found, colleague.mail in client.get(page).content.decode()]

    before = look()
    colleague.delete()
    return [before, look()]


def tasks() -> Any:
    ours = {name for name in current_app.tasks if name.startswith("etl.tasks.")}
    current_app.loader.import_default_modules()
    ours |= {name for name in current_app.tasks if name.startswith("etl.tasks.")}
    options = {(task.acks_late, task.reject_on_worker_lost) for name, task in current_app.tasks.items() if name in ours}
    return [len(ours), sorted(options), current_app.main]


VISITS = {
    "ingest": ingest,
    "commands": commands,
    "pages": pages,
    "addresses": addresses,
    "reading": reading,
    "documents": documents,
    "operating": operating,
    "pressing": pressing,
    "people": people,
    "tasks": tasks,
}

if __name__ == "__main__":
    main()
