"""A shop with a supplier and two categories."""

import pytest

from etl.storage import target_rows
from tests.shop.models import Category, Guarded, Product, Supplier


@pytest.fixture(autouse=True)
def shop(transactional_db: None) -> None:
    Supplier.objects.create(code="ACME")
    for slug in ("tools", "toys"):
        Category.objects.create(slug=slug)


@pytest.fixture(autouse=True)
def no_refusing_table() -> None:
    """Each test begins as a new process does."""
    target_rows._refusing.clear()


@pytest.fixture(params=[False, True], ids=["insert", "on_conflict"])
def first_attempt(request: pytest.FixtureRequest, no_refusing_table: None) -> None:
    """A batch is inserted as after one whose rows the table took, and as after one of which it refused some."""
    if request.param:
        target_rows._refusing.update({Product._meta.label, Guarded._meta.label})
