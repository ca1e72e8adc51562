"""A shop with a supplier and two categories."""

import pytest

from tests.shop.models import Category, Supplier


@pytest.fixture(autouse=True)
def shop(transactional_db: None) -> None:
    Supplier.objects.create(code="ACME")
    for slug in ("tools", "toys"):
        Category.objects.create(slug=slug)
