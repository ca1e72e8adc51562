"""SourceOwned: in a team's admin, what a source owns is read-only and says where it comes from."""

import re
from typing import Any, ClassVar

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.forms import ModelForm
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path, reverse

from etl.admin.owned import SourceOwned
from etl.admin.site import PipelineAdminSite
from etl.models import UnifiedRecord
from tests.admin.people import make_client
from tests.listed_source import ingest_here
from tests.shop.models import Category, Product, Supplier
from tests.shop.sources import DeletingProducts, KeepingProducts, Products, make_products

pytestmark = pytest.mark.django_db(transaction=True)

OWNED = {"supplier", "sku", "name", "price", "stock", "category", "status", "barcode", "attributes"}


class ProductAdmin(SourceOwned, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("sku", "name", "price", "note", "source_of_row")
    list_editable = ("name", "note")
    ordering = ("sku",)


class GroupedAdmin(SourceOwned, admin.ModelAdmin):  # type: ignore[type-arg]
    """With fieldsets, a field made from others, fields left out, and read-only fields of its own."""

    fieldsets = (("What", {"fields": (("sku", "name"), "category")}), ("Ours", {"fields": ("note", "reference")}))
    prepopulated_fields = {"sku": ("name",)}
    readonly_fields = ("reference",)


class PartForm(ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Product
        fields = ("supplier", "category", "sku", "name", "price", "stock", "status", "barcode", "margin", "note")
        help_texts: ClassVar = {"name": "As printed."}


class PartAdmin(SourceOwned, admin.ModelAdmin):  # type: ignore[type-arg]
    form = PartForm


def list_links(page: str) -> list[str]:
    return re.findall(r'<a href="([^"]+)">History of the record</a>', page)


default = PipelineAdminSite("admin")
default.register(Product, ProductAdmin)
office = admin.AdminSite("office")
office.register(Product, GroupedAdmin)
shop = admin.AdminSite("parts")
shop.register(Product, PartAdmin)
urlpatterns = [
    path("admin/", default.urls),
    path("office/", office.urls),
    path("parts/", shop.urls),
]


@pytest.fixture(autouse=True)
def shop_rows(two_sources: None, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.ETL_SOURCES = ["tests.shop.sources.Products"]
    Supplier.objects.create(code="ACME")
    Category.objects.create(slug="toys")


@pytest.fixture
def boss() -> Client:
    return make_client("superuser")


def show(client: Client, product: Product, site: str = "admin") -> str:
    response = client.get(f"/{site}/shop/product/{product.pk}/change/")
    assert response.status_code == 200
    return str(response.content.decode())


def list_inputs(page: str) -> set[str]:
    return set(re.findall(r'<(?:input|select|textarea)[^>]* name="([a-z_]+)"', page))


def edit(client: Client, product: Product, **values: Any) -> Product:
    given = {"supplier": product.supplier_id, "sku": product.sku, "name": "Edited", "price": "9", "stock": "9"}
    given |= {
        "barcode": "4000000000001",
        "status": "ended",
        "attributes": '{"a": 1}',
        "reference": product.reference,
        "note": "ours",
        "margin": "0.1",
    }
    response = client.post(f"/admin/shop/product/{product.pk}/change/", {**given, **values})
    assert response.status_code == 302, response.content.decode()[:3000]
    return Product.objects.get(pk=product.pk)


def test_owned_fields_have_no_input_and_say_where_they_come_from(boss: Client) -> None:
    ingest_here(Products(make_products(1, group="toys")))
    product, record = Product.objects.get(), UnifiedRecord.objects.get()
    page = show(boss, product)
    assert OWNED.isdisjoint(list_inputs(page))
    assert {"margin", "note", "reference"} <= list_inputs(page)
    assert page.count('<span class="etl-owned">From products, changed') == len(OWNED)
    address = reverse("admin:etl_unifiedrecord_change", args=[record.pk])
    assert page.count(f'<a href="{address}">History of the record</a>') == len(OWNED)
    assert "shop.Product" in boss.get(address).content.decode()
    order = [page.index(f"field-{name}") for name in ("sku", "name", "price", "margin", "note")]
    assert order == sorted(order)


def test_what_is_sent_for_an_owned_field_is_ignored_and_the_teams_is_saved(boss: Client) -> None:
    ingest_here(Products(make_products(1)))
    product = edit(boss, Product.objects.get())
    assert (product.name, str(product.price), product.status, product.note) == ("Thing 1", "1.50", "active", "ours")


def test_what_a_run_changes_meanwhile_is_not_overwritten(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest_here(Products(make_products(1)))
    save = Product.save

    def save_late(self: Product, *args: Any, **kwargs: Any) -> None:
        Product.objects.update(price="7")
        save(self, *args, **kwargs)

    monkeypatch.setattr(Product, "save", save_late)
    product = edit(boss, Product.objects.get())
    assert (str(product.price), product.note) == ("7.00", "ours")


def free(kind: str) -> Product:
    """Return a row that is not owned, for this reason."""
    match kind:
        case "of no record":
            return Product.objects.create(supplier=Supplier.objects.get(), sku="own", name="Own", price=1)
        case "of a record that vanished":
            ingest_here(KeepingProducts(make_products(2)))
            ingest_here(KeepingProducts(make_products(1)))
            return Product.objects.get(sku="P2")
        case _:
            ingest_here(DeletingProducts(make_products(1)))
            return Product.objects.get()


@pytest.mark.parametrize("kind", ["of no record", "of a record that vanished", "of a source that is not listed"])
def test_a_row_that_no_source_owns_stays_editable(kind: str, boss: Client, settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.shop.sources.Products", "tests.shop.sources.KeepingProducts"]
    product = free(kind)
    page = show(boss, product)
    assert list_inputs(page) >= OWNED
    assert "etl-owned" not in page
    assert edit(boss, product).name == "Edited"


def test_a_row_that_is_added_is_editable(boss: Client) -> None:
    ingest_here(Products(make_products(1)))
    response = boss.get("/admin/shop/product/add/")
    assert list_inputs(response.content.decode()) >= OWNED


def test_fieldsets_and_prepopulated_fields_of_a_custom_site(boss: Client) -> None:
    ingest_here(Products(make_products(1)))
    page = show(boss, Product.objects.get(), "office")
    assert list_inputs(page) & (OWNED | {"note", "reference"}) == {"note"}
    assert page.count("etl-owned") == 3
    assert len(list_links(page)) == 3
    assert boss.get(list_links(page)[0]).status_code == 200  # on the default site


def test_what_a_page_leaves_out_stays_out(boss: Client) -> None:
    ingest_here(Products(make_products(1)))
    page = show(boss, Product.objects.get(), "parts")
    assert "field-attributes" not in page
    assert page.count("etl-owned") == len(OWNED) - 1
    assert "As printed. <span" in page


@pytest.mark.parametrize(("may_view_records", "links"), [(True, len(OWNED)), (False, 0)])
def test_the_link_needs_the_permission_to_view_records(*, may_view_records: bool, links: int) -> None:
    ingest_here(Products(make_products(1)))
    user = User.objects.create(username="clerk", is_staff=True)
    names = ["view_product", "change_product", *(["view_unifiedrecord"] if may_view_records else [])]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    page = show(client, Product.objects.get())
    assert page.count("etl-owned") == len(OWNED)
    assert page.count("History of the record") == links


def test_a_list_disables_owned_fields_and_ignores_what_is_sent_for_them(boss: Client) -> None:
    ingest_here(Products(make_products(1)))
    Product.objects.create(supplier=Supplier.objects.get(), sku="own", name="Own", price=1)
    owned, own = Product.objects.order_by("sku")
    page = boss.get("/admin/shop/product/").content.decode()
    names = re.findall(r'<input type="text" name="form-\d-name"[^>]*>', page)
    assert ["disabled" in name for name in names] == [True, False]
    assert re.search(r"products, \S+ s ago", page)
    assert "etl/owned.css" in page
    form = {"form-TOTAL_FORMS": "2", "form-INITIAL_FORMS": "2", "_save": "Save"}
    for number, row in enumerate((owned, own)):
        form |= {f"form-{number}-id": str(row.pk), f"form-{number}-name": "Edited", f"form-{number}-note": "ours"}
    assert boss.post("/admin/shop/product/", form).status_code == 302
    assert [*Product.objects.order_by("sku").values_list("name", "note")] == [("Thing 1", "ours"), ("Edited", "ours")]


def test_a_list_asks_no_more_of_the_database_for_more_rows(boss: Client) -> None:
    def count_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert boss.get("/admin/shop/product/").status_code == 200
        return len(queries)

    ingest_here(Products(make_products(2)))
    few = count_queries()
    ingest_here(Products(make_products(40)))
    assert count_queries() == few
