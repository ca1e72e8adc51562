"""The database of the shop: migrated, with suppliers and categories, and without products."""

from pathlib import Path
from typing import Any

from bench.loads.server import LoadDatabase
from bench.shop.files import CATEGORIES, SUPPLIERS
from bench.shop.sources import SOURCES

TARGET = "bench_shop_product"
_SETTINGS = {"DJANGO_SETTINGS_MODULE": "bench.shop.settings", "ETL_SOURCES": SOURCES}
_ADD_SUPPLIERS = """
    INSERT INTO bench_shop_supplier (code) SELECT 'S-' || lpad(n::text, 3, '0') FROM generate_series(0, %s) AS n
"""
_ADD_CATEGORIES = "INSERT INTO bench_shop_category (slug) SELECT 'group-' || n FROM generate_series(0, %s) AS n"
_COUNT = """
    SELECT count(*) FILTER (WHERE contype = 'f'), count(*) FILTER (WHERE contype IN ('c', 'u')),
        (SELECT count(*) FROM pg_index WHERE indrelid = conrelid)
    FROM pg_constraint WHERE conrelid = to_regclass(%s) GROUP BY conrelid
"""


class ShopDatabase(LoadDatabase):
    """A load database whose template has the shop's tables."""

    def __init__(self, servers: Any, folder: Path) -> None:
        super().__init__(servers, folder)
        self.environment |= _SETTINGS
        self.template.environment |= _SETTINGS

    def prepare(self) -> None:
        super().prepare()
        self.template.manage("migrate", "-v0", "--run-syncdb")
        for statement, count in ((_ADD_SUPPLIERS, SUPPLIERS), (_ADD_CATEGORIES, CATEGORIES)):
            self.template.execute(statement, count - 1)

    def describe_target(self) -> str:
        ((keys, constraints, indexes),) = self.template.execute(_COUNT, TARGET)
        return f"the target has {keys} foreign keys, {constraints} other constraints and {indexes} indexes"
