"""The commands as users type them: their output, the rows they write, and their exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from etl.models import Checkpoint, Run
from etl.runs.reason_advice import ADVICE
from etl.vocabulary import Reason
from sandbox.server import Sandbox
from tests.factories import make_products, write_products
from tests.listed_source import fetch
from tests.processes import ROOT, Project, manage_here, wait_until

SHARED = ROOT.parent / "shared" / "data"
JSON_KEYS = (
    *("run", "source", "status", "reason", "seen", "new", "updated", "unchanged", "duplicate", "skipped"),
    *("quarantined", "removed", "waiting", "duration_s"),
)


def test_the_sample_files_end_as_promised(project: Project) -> None:
    products, vendors = project.ingest("products_csv", "vendors_csv")
    assert (products["status"], products["new"], products["quarantined"]) == ("partial", 3, 2)
    assert (vendors["status"], vendors["new"], vendors["quarantined"]) == ("partial", 2, 2)
    refused = fetch("SELECT source, line, column_name, code FROM etl_quarantine ORDER BY id")
    assert refused == [
        ("products_csv", 4, "price", "not_a_number"),
        ("products_csv", 5, "product_id", "blank"),
        ("vendors_csv", 3, "amount", "not_a_number"),
        ("vendors_csv", 5, "product_name", "blank"),
    ]
    landed = fetch(
        "SELECT source, external_id, name, category, trim_scale(value)::text FROM unified_records ORDER BY 1, 2"
    )
    assert landed == [
        ("products_csv", "1", "Phone", "electronics", "699"),
        ("products_csv", "2", "Laptop", "electronics", "1299"),
        ("products_csv", "4", "Phone", "electronics", "699"),
        ("vendors_csv", "A1", "Desk", "furniture", "250.5"),
        ("vendors_csv", "A3", "Mouse", "electronics", "29.99"),
    ]


def test_the_sample_listings_show_each_outcome(project: Project) -> None:
    (outcome,) = project.ingest("listings_json")
    assert (outcome["new"], outcome["updated"], outcome["duplicate"], outcome["quarantined"]) == (42, 1, 2, 4)


def test_raw_rows_keep_the_text_as_received(project: Project) -> None:
    path = project.folder / "listings.ndjson"
    line = (
        '{"sku":"1","title":"\\u0000\\ud800 kept below","note":"\\u0000\\ud800","big":1e131071,"twice":{"b":1,"a":2},'
        '"department":{"name":"D"},"price":{"amount":1.50,"currency":"EUR"},"updated_at":"2026-01-01T00:00:00Z"}'
    )
    good = line.replace('"\\u0000\\ud800 kept below"', '"Title"')
    path.write_text(good + "\n" + line + "\n")
    (outcome,) = project.ingest("listings_json", LISTINGS_JSON=str(path))
    assert (outcome["new"], outcome["quarantined"]) == (1, 1)
    assert fetch("SELECT payload::text FROM raw_third_source_data") == [(good,)]


def test_standard_output_has_only_json(project: Project) -> None:
    done = project.run("ingest", "--json", "products_csv", "vendors_csv")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [tuple(outcome) for outcome in objects] == [JSON_KEYS, JSON_KEYS]
    assert done.returncode == 3


def test_unchanged_content_is_success_with_nothing_seen(project: Project) -> None:
    project.ingest("products_csv")
    done = project.run("ingest", "--json", "products_csv")
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["status"], outcome["reason"], outcome["seen"]) == (0, "success", "unchanged", 0)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--all", "products_csv"], ["--nonsense"]])
@pytest.mark.django_db(transaction=True)
def test_wrong_usage_ends_with_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert manage_here(capsys, "ingest", *arguments).returncode == 2
    assert not Run.objects.exists()


def test_a_failed_run_comes_before_a_partial_one_in_the_exit_status(project: Project) -> None:
    done = project.run("ingest", "--json", "products_csv", "vendors_csv", VENDORS_CSV="nowhere.csv")
    failed = json.loads(done.stdout.splitlines()[1])
    assert (done.returncode, failed["status"], failed["reason"]) == (1, "failed", "source_unreadable")
    assert "nowhere.csv does not exist" in done.stderr
    assert ADVICE[Reason.SOURCE_UNREADABLE].remedy in done.stderr


def test_a_held_source_is_refused_with_its_holder_and_status_4(project: Project) -> None:
    with Sandbox(plan="slow:0.05") as sandbox:
        project.environment["COINGECKO_BASE_URL"] = sandbox.url
        holder = project.start("ingest", "coingecko_api")
        wait_until(lambda: sandbox.requests)
        done = project.run("ingest", "--json", "coingecko_api")
        refused = json.loads(done.stdout)
        holder.kill()  # it would read for another quarter of a minute
    run = Run.objects.get()
    assert done.returncode == 4
    assert (refused["run"], refused["status"], refused["reason"], refused["seen"]) == (run.pk, "refused", "held", 0)
    assert f"held by run {run.pk}" in done.stderr
    assert "its lease ends at" in done.stderr
    assert "start_refused" in run.events.values_list("kind", flat=True)


def test_a_429_is_waited_out_logged_and_stored_as_an_event(project: Project) -> None:
    with Sandbox(plan="429:1") as sandbox:
        done = project.run("ingest", "coingecko_api", COINGECKO_BASE_URL=sandbox.url)
    message = "Retrying (1/4) after 1.00s due to: 429 Too Many Requests"
    assert done.returncode == 0
    assert message in done.stderr
    assert Run.objects.get().events.get(kind="retry").message == message


def test_a_long_retry_after_ends_a_terminal_run_rate_limited(project: Project) -> None:
    with Sandbox(plan="429:3600") as sandbox:
        done = project.run("ingest", "coingecko_api", COINGECKO_BASE_URL=sandbox.url)
    run = Run.objects.get()
    assert (done.returncode, run.status, run.reason) == (1, "failed", "rate_limited")
    assert "try again at" in run.error


def test_the_api_key_is_sent_and_stored_nowhere(project: Project) -> None:
    key = "CG-canary-5c1d"
    with Sandbox(plan="429:0,reset,500") as sandbox:
        done = project.run("ingest", "-v", "3", "coingecko_api", COINGECKO_BASE_URL=sandbox.url, COINGECKO_API_KEY=key)
    assert {headers["x-cg-demo-api-key"] for _, _, headers in sandbox.requests} == {key}
    assert key not in done.stdout + done.stderr
    tables = [name for (name,) in fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert not [name for name in tables if fetch(f'SELECT 1 FROM "{name}" AS t WHERE t::text LIKE %s', f"%{key}%")]


def test_an_unchanged_list_gives_a_304(project: Project) -> None:
    with Sandbox() as sandbox:
        project.environment["COINGECKO_BASE_URL"] = sandbox.url
        project.ingest("coingecko_api")
        (outcome,) = project.ingest("coingecko_api")
        assert "if-none-match" in sandbox.requests[-1][2]
    assert (outcome["status"], outcome["reason"]) == ("success", "unchanged")


@pytest.mark.skipif(not SHARED.exists(), reason="the real lists are not in this project")
def test_the_real_lists_give_their_numbers(project: Project) -> None:
    def ingest(name: str) -> tuple[int, ...]:
        with Sandbox(SHARED / name) as sandbox:
            (outcome,) = project.ingest("coingecko_api", COINGECKO_BASE_URL=sandbox.url)
        return tuple(outcome[name] for name in ("seen", "new", "updated", "unchanged", "quarantined", "removed"))

    assert ingest("coins_2024-03.json") == (12_987, 12_982, 0, 0, 5, 0)
    assert ingest("coins_2025-01.json") == (16_395, 7_117, 284, 8_989, 5, 3_709)
    assert ingest("coins_2025-01.json") == (0, 0, 0, 0, 0, 0)
    assert fetch("SELECT record_count, removed_count FROM ingestion_checkpoints") == [(16_390, 3_709)]
    assert fetch("SELECT count(*), count(removed_at) FROM unified_records") == [(20_099, 3_709)]
    assert project.run("verify").returncode == 0


def test_preview_shows_accepted_and_refused_records_and_writes_nothing(project: Project) -> None:
    done = project.run("preview", "products_csv")
    assert "Phone" in done.stdout
    assert "not_a_number" in done.stdout
    assert not Run.objects.exists()
    assert not Checkpoint.objects.exists()


def test_preview_shows_at_most_its_limit(project: Project) -> None:
    path = write_products(project.folder / "products.csv", make_products(20))
    done = project.run("preview", "products_csv", "--limit", "2", PRODUCTS_CSV=str(path))
    assert ("Product 2" in done.stdout, "Product 3" in done.stdout) == (True, False)


def test_preview_ends_with_counts_by_code_and_the_end_of_a_run(project: Project) -> None:
    path = project.folder / "products.csv"
    path.write_text("product_id,name,category,price\n" + "1,A,c,x\n" * 4 + "2,B,c,1\n" * 20 + ",C,c,1\n")
    done = project.run("preview", "products_csv", "--limit", "2", PRODUCTS_CSV=str(path))
    counts, _, *codes, end = done.stdout[done.stdout.index("All records") :].splitlines()
    assert counts == "All records: 20 accepted, 0 skipped, 5 refused."
    assert [line.split()[:4] for line in codes] == [
        ["not_a_number", "price", "4", "2"],
        ["blank", "product_id", "1", "26"],
    ]
    assert end == "A run would end partial (records_refused)."
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("product_id,name,price\n1,A,1\n", "columns_missing"),
        ("product_id,name,category,price\n" + "1,A,c,x\n" * 10, "too_many_refused"),
    ],
)
def test_preview_shows_the_verdict_of_the_gates(project: Project, text: str, reason: str) -> None:
    path = project.folder / "products.csv"
    path.write_text(text)
    done = project.run("preview", "products_csv", PRODUCTS_CSV=str(path))
    assert f"{reason}: " in done.stdout
    assert f"A run would end failed ({reason})." in done.stdout


def test_preview_says_how_far_it_has_looked(project: Project) -> None:
    path = write_products(project.folder / "products.csv", make_products(1_200))
    done = project.run("preview", "products_csv", PRODUCTS_CSV=str(path))
    assert "The first 1,000 records: 1,000 accepted, 0 skipped, 0 refused." in done.stdout
    assert "Judging by these records, a run would end success." in done.stdout


def test_preview_gives_one_json_object(project: Project) -> None:
    found = json.loads(project.run("preview", "products_csv", "--json", "--limit", "3").stdout)
    assert found["counts"] == {"seen": 5, "accepted": 3, "skipped": 0, "quarantined": 2}
    assert [record["external_id"] for record in found["records"]] == ["1", "2"]
    assert [(each["code"], each["records"], each["line"]) for each in found["codes"]] == [
        ("not_a_number", 1, 4),
        ("blank", 1, 5),
    ]
    assert (found["status"], found["reason"], found["verdict"]) == ("partial", "records_refused", [])


def test_sources_shows_what_a_source_is(project: Project) -> None:
    project.ingest("products_csv")
    shown = " ".join(project.run("sources", "products_csv").stdout.split())
    for text in (
        "place " + str(ROOT / "data" / "products.csv"),
        "format Csv()",
        "complete yes",
        "standing refusing",
        "last accepted read 1,",
        "5 seen, 2 refused",
        "price positive_decimal A decimal number greater than 0",
        "category category, in lower case",
        "max_refused=0.5",
    ):
        assert text in shown


def test_sources_of_an_unknown_name_is_wrong_usage(project: Project) -> None:
    done = project.run("sources", "nonsense")
    assert (done.returncode, "Unknown source: nonsense." in done.stderr) == (2, True)


def test_verify_finds_a_wrong_count_and_repairs_it(project: Project) -> None:
    project.ingest("products_csv")
    Checkpoint.objects.update(record_count=99)
    found = project.run("verify")
    assert (found.returncode, "record_count is stored as 99 but should be 3" in found.stdout) == (1, True)
    assert project.run("verify", "--repair").returncode == 0
    assert Checkpoint.objects.get().record_count == 3


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM raw_csv_data WHERE external_id = '1'",
        "DELETE FROM unified_records WHERE external_id = '1'",
        "UPDATE etl_quarantine SET run_id = 0",
        "UPDATE etl_runs SET new = new + 1, seen = seen + 1",
    ],
)
@pytest.mark.django_db(transaction=True)
def test_verify_finds_orphans_and_wrong_counters(capsys: pytest.CaptureFixture[str], damage: str) -> None:
    manage_here(capsys, "ingest", "products_csv")
    assert manage_here(capsys, "verify").returncode == 0
    with connection.cursor() as cursor:
        cursor.execute(damage)
    assert manage_here(capsys, "verify").returncode == 1


def test_the_commands_list_sources_runs_and_quarantine(project: Project) -> None:
    project.ingest("products_csv")
    assert "products_csv" in project.run("sources").stdout
    runs = project.run("runs").stdout
    assert ("records_refused" in runs, runs.split("\n")[0].split()[-1]) == (True, "waiting")
    assert "started" in project.run("runs", str(Run.objects.get().pk)).stdout
    listed = project.run("quarantine", "list", "--source", "products_csv", "--code", "blank")
    assert ("product_id is blank" in listed.stdout, "not_a_number" in listed.stdout) == (True, False)


def test_quarantine_show_gives_place_and_original(project: Project) -> None:
    project.ingest("products_csv")
    (record_id,) = fetch("SELECT id FROM etl_quarantine WHERE code = 'not_a_number'")[0]
    shown = project.run("quarantine", "show", str(record_id)).stdout
    assert "record 3, line 4, column price" in shown
    assert "3,Chair,Furniture,not_a_number,baz" in shown


@pytest.mark.parametrize(
    "arguments",
    [["runs", "999"], ["quarantine", "show", "999"], ["preview", "nonsense"], ["reads", "--accept", "999"]],
)
@pytest.mark.django_db(transaction=True)
def test_an_unknown_name_or_id_gives_one_clear_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    done = manage_here(capsys, *arguments)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_control_characters_in_records_are_made_visible(project: Project) -> None:
    path = write_products(project.folder / "products.csv", [("1", "\x1b[31mred", "c", "free", "")])
    project.ingest("products_csv", PRODUCTS_CSV=str(path))
    for command in (["quarantine", "list"], ["quarantine", "show", "1"]):
        assert "\x1b[31m" not in project.run(*command).stdout


def test_missing_tables_give_one_clear_sentence(project: Project) -> None:
    url = project.make_environment({})["DATABASE_URL"].replace(connection.settings_dict["NAME"], "postgres")
    done = project.run("ingest", "products_csv", DATABASE_URL=url)
    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr


FIFTH = """
from etl.sources import Contract, JsonLinesSource, NonBlank, PositiveDecimal, timedelta

class Rate(Contract):
    code: NonBlank
    title: NonBlank
    rate: PositiveDecimal

class Rates(JsonLinesSource):
    name, path, every, contract = "rates", "{path}", timedelta(days=1), Rate
    unified = {{"external_id": "code", "name": "title", "value": "rate"}}
"""


def test_a_fifth_source_takes_one_file_and_one_line(project: Project) -> None:
    data = project.folder / "rates.ndjson"
    data.write_text('{"code": "EUR", "title": "Euro", "rate": 1.08}\n{"code": "XXX", "title": "None", "rate": 0}\n')
    (project.folder / "outside_rates.py").write_text(FIFTH.format(path=data))
    project.environment |= {"ETL_SOURCES": "outside_rates.Rates", "PYTHONPATH": f"{ROOT}:{project.folder}"}
    (outcome,) = project.ingest("--all")
    assert (outcome["source"], outcome["new"], outcome["quarantined"]) == ("rates", 1, 1)
    assert "rates" in project.run("sources").stdout
    assert project.run("verify").returncode == 0


@pytest.mark.parametrize("path", sorted((ROOT / "etl" / "sources").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_source_is_at_most_25_lines(path: Path) -> None:
    if path.stem != "registry":
        assert len(path.read_text().splitlines()) <= 25


@pytest.mark.parametrize("command", ["sources", "reads"])
def test_a_command_refuses_a_wrong_source_and_imports_no_addresses(project: Project, command: str) -> None:
    project.environment["ETL_SOURCES"] = "no.such.Thing"
    _, errors = project.start_python("-X", "importtime", "manage.py", command).communicate()
    assert "(etl.E001)" in errors
    assert "api.urls" not in errors


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ("no.such.Thing", "etl.E001"),
        ("etl.records.Record", "etl.E002"),
        ("etl.sources.products.ProductsCsv,etl.sources.products.ProductsCsv", "etl.E003"),
        ("tests.broken_sources.Nameless", "etl.E004"),
        ("tests.broken_sources.Hurried", "etl.E004"),
        ("tests.broken_sources.LongNamed", "etl.E008"),
        ("tests.broken_sources.OneSecret", "etl.E004"),
        ("tests.broken_sources.Unmapped", "etl.E005"),
        ("tests.broken_sources.Misspelt", "etl.E006"),
        ("tests.broken_sources.Unfit", "etl.E006"),
        ("tests.broken_sources.Optional", "etl.E006"),
        ("tests.broken_sources.Daily", "etl.E006"),
        ("tests.broken_sources.Guessed", "etl.E004"),
        ("tests.broken_sources.Contradictory", "etl.E009"),
        ("tests.broken_sources.Unsigned", "etl.E004"),
        ("tests.broken_sources.Undetailed", "etl.E004"),
        ("tests.broken_sources.Tabled", "etl.E004"),
        ("tests.broken_sources.Unopened", "etl.E004"),
        ("tests.broken_sources.Shifting", "etl.E009"),
        ("tests.broken_sources.Bare", "etl.E004"),
        ("tests.broken_sources.Halved", "etl.E009"),
        ("tests.broken_sources.Timeless", "etl.E016"),
        ("tests.broken_sources.Unread", "etl.E016"),
        ("tests.broken_sources.Bodiless", "etl.E016"),
        ("tests.broken_sources.Sinceless", "etl.E004"),
    ],
)
def test_a_wrong_source_fails_check_with_an_id_and_a_hint(
    settings: Any, capsys: pytest.CaptureFixture[str], sources: str, found: str
) -> None:
    settings.ETL_SOURCES = sources.split(",")
    done = manage_here(capsys, "check")
    assert done.returncode == 1
    assert f"({found})" in done.stderr
    assert "HINT" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["products_csv", "--since", "2024-01-01"], "products_csv declares no `since`"),
        (["changing", "--since", "2024-13-01"], "since must be a day or a time"),
        (["changing", "--since", "2024-01-01", "--until", "2024-02-01"], "takes no end of a window"),
        (["changing", "--until", "2024-02-01"], "takes no end of a window"),
        (["changing", "--since", "2024-01-01", "--full"], "either --full or --since"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_window_that_can_not_be_fetched_is_wrong_usage(
    settings: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    settings.ETL_SOURCES = ["etl.sources.products.ProductsCsv", "tests.paged_source.Changing"]
    done = manage_here(capsys, "ingest", *arguments)
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_window_is_queued_with_its_bounds(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.ETL_SOURCES = ["tests.paged_source.Changing"]
    assert manage_here(capsys, "ingest", "changing", "--since", "2024-01-01", "--queue").returncode == 0
    assert Run.objects.get().options == {"since": "2024-01-01T00:00:00+00:00"}
