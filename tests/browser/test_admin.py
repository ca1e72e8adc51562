"""The admin in a real browser: an operator's tasks from start to finish."""

import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from etl.models import Checkpoint, QuarantinedRecord, Run, SchemaChange
from etl.operations.sources import pause
from tests.browser.conftest import AdminPage, make_person, open_web
from tests.execution.test_workers import start_worker
from tests.factories import make_products, write_products
from tests.processes import Project, wait_until

LONG = 30_000


@pytest.fixture
def four_sources(stack: Project) -> Project:
    """The demo's files; no request is sent to CoinGecko."""
    names = ("coingecko.CoinGecko", "products.ProductsCsv", "vendors.VendorsCsv", "listings.Listings")
    sources = ",".join(f"etl.sources.{name}" for name in names)
    stack.environment |= {"ETL_SOURCES": sources, "COINGECKO_BASE_URL": "http://127.0.0.1:9"}
    return stack


@pytest.fixture
def products(stack: Project) -> Project:
    """Only products, from the test's own file."""
    stack.environment |= {
        "ETL_SOURCES": "etl.sources.products.ProductsCsv",
        "PRODUCTS_CSV": str(stack.folder / "products.csv"),
    }
    return stack


@pytest.fixture
def opened(browser: Browser) -> Iterator[list[AdminPage]]:
    pages: list[AdminPage] = []
    yield pages
    for admin in pages:
        admin.context.close()


def test_an_operator_logs_in_and_sees_the_four_sources(
    browser: Browser, four_sources: Project, opened: list[AdminPage]
) -> None:
    make_person("olga", "operator")
    four_sources.ingest("products_csv", "vendors_csv", "listings_json")
    with open_web(four_sources) as web:
        admin = AdminPage(browser, web)
        opened.append(admin)
        admin.page.goto(f"{admin.address}/admin/")
        admin.check()
        admin.log_in("olga")
        for name in ("coingecko_api", "products_csv", "vendors_csv", "listings_json"):
            expect(admin.page.locator("table.etl-sources").get_by_role("rowheader", name=name)).to_be_visible()
        admin.check()
        for path in ("run/", "quarantinedrecord/", "schemachange/", "schemasnapshot/", "unifiedrecord/", "checkpoint/"):
            admin.visit(f"/admin/etl/{path}")
        admin.visit(f"/admin/etl/run/{Run.objects.filter(source='products_csv').latest('pk').pk}/change/")
        admin.visit(f"/admin/etl/quarantinedrecord/{QuarantinedRecord.objects.latest('pk').pk}/change/")


@pytest.mark.parametrize("context", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 800}}])
def test_the_overview_is_legible_in_the_dark_and_on_a_phone(
    browser: Browser, four_sources: Project, opened: list[AdminPage], context: dict[str, object]
) -> None:
    make_person("vera", "viewer")
    four_sources.ingest("products_csv", "vendors_csv")
    with open_web(four_sources) as web:
        admin = AdminPage(browser, web, **context)
        opened.append(admin)
        admin.log_in("vera")
        admin.check()
        width = admin.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width == 0, "the page scrolls sideways"


def test_on_a_phone_standing_last_success_and_quarantine_are_in_sight(
    browser: Browser, four_sources: Project, opened: list[AdminPage]
) -> None:
    make_person("vera", "viewer")
    four_sources.ingest("products_csv")
    with open_web(four_sources) as web:
        admin = AdminPage(browser, web, viewport={"width": 390, "height": 800})
        opened.append(admin)
        admin.log_in("vera")
        card = admin.page.locator("table.etl-sources tr").filter(has_text="products_csv")
        for label, text in (("Standing", "refusing"), ("Last success", "20"), ("Quarantine", "2")):
            cell = card.locator(f"td[data-label='{label}']")
            expect(cell).to_contain_text(text)
            box = cell.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390


def test_a_run_is_started_and_watched_until_it_finishes(
    browser: Browser, products: Project, opened: list[AdminPage]
) -> None:
    make_person("olga", "operator")
    write_products(products.folder / "products.csv", make_products(100_000))
    with open_web(products) as web:
        admin = AdminPage(browser, web)
        opened.append(admin)
        admin.log_in("olga")
        page = admin.visit("/admin/etl/checkpoint/products_csv/change/")
        admin.follow(page.get_by_role("button", name="Run now"))
        start_worker(products, ETL_BATCH_SIZE="100")  # so that it lasts for some seconds
        admin.page.goto(f"{admin.address}/admin/")
        live = page.locator("p.etl-run")
        expect(live).to_contain_text("products_csv", timeout=LONG)
        first = live.inner_text()
        expect(live).not_to_have_text(first, timeout=LONG)
        expect(page.get_by_text("Nothing is running.")).to_be_visible(timeout=180_000)
        expect(page.locator("table.etl-sources")).to_contain_text("100,000", timeout=LONG)
        admin.check()
    assert {run.status for run in Run.objects.all()} == {"success"}


def test_a_drift_is_read_field_by_field_and_acknowledged(
    browser: Browser, products: Project, opened: list[AdminPage]
) -> None:
    make_person("olga", "operator")
    path = write_products(products.folder / "products.csv", make_products(50))
    products.ingest("products_csv")
    path.write_text(path.read_text().replace("extra_col", "colour"))
    products.ingest("products_csv")
    change = SchemaChange.objects.get(path="colour")
    with open_web(products) as web:
        admin = AdminPage(browser, web)
        opened.append(admin)
        admin.log_in("olga")
        page = admin.visit(f"/admin/etl/schemasnapshot/{change.snapshot_after_id}/change/")
        expect(page.locator("#content-main")).to_contain_text("colour")
        expect(page.locator(".etl-added").first).to_be_visible()
        expect(page.locator(".etl-removed").first).to_be_visible()
        page = admin.visit(f"/admin/etl/schemachange/{change.pk}/change/")
        admin.follow(page.get_by_role("button", name=re.compile("Acknowledge")))
        expect(page.locator("#content")).to_contain_text("olga")
    change.refresh_from_db()
    assert change.acknowledged_by is not None


def test_a_refused_record_is_replayed(browser: Browser, products: Project, opened: list[AdminPage]) -> None:
    make_person("olga", "operator")
    write_products(products.folder / "products.csv", [(1, "Lamp", "Things", "free", "x"), *make_products(3, start=2)])
    products.ingest("products_csv")
    products.environment |= {"ETL_SOURCES": "tests.worker_sources.AnyPriceProducts"}
    pause("products_csv")  # a run by the new contract would land the record before it is replayed
    start_worker(products)
    record = QuarantinedRecord.objects.get()
    with open_web(products) as web:
        admin = AdminPage(browser, web)
        opened.append(admin)
        admin.log_in("olga")
        page = admin.visit(f"/admin/etl/quarantinedrecord/{record.pk}/change/")
        expect(page.locator(".etl-cell, mark").first).to_contain_text("free")
        admin.follow(page.get_by_role("button", name=re.compile("Replay")))
        wait_until(lambda: QuarantinedRecord.objects.get().status == "replayed")
        page = admin.visit(f"/admin/etl/quarantinedrecord/{record.pk}/change/")
        expect(page.locator("#content-main")).to_contain_text("replayed")


def test_a_stuck_lease_is_released(browser: Browser, products: Project, opened: list[AdminPage]) -> None:
    make_person("olga", "operator")
    write_products(products.folder / "products.csv", make_products(60_000))
    frozen = products.start("ingest", "products_csv", ETL_BATCH_SIZE="200")
    wait_until(lambda: Checkpoint.objects.filter(record_count__gt=0).exists())
    frozen.send_signal(signal.SIGSTOP)
    with open_web(products) as web:
        admin = AdminPage(browser, web)
        opened.append(admin)
        admin.log_in("olga")
        page = admin.visit("/admin/etl/checkpoint/products_csv/change/")
        admin.follow(page.get_by_role("link", name=re.compile("Release")))
        admin.check()
        admin.follow(page.get_by_role("button", name=re.compile("Release")))
        wait_until(lambda: Run.objects.get().status == "failed")
    frozen.send_signal(signal.SIGCONT)
    frozen.wait()
    landed = Checkpoint.objects.get()
    assert (landed.owner_run_id, Run.objects.get().new) == (None, landed.record_count)
