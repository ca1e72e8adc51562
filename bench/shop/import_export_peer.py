"""Imports the clean products with django-import-export's bulk mode: `import_export_peer.py FILE DATABASE_URL [tuned]`.

As its documentation has it, a product is found by its key, and its parents by `ForeignKeyWidget`. `tuned` finds the
parents in memory and looks for no product, which only fits a first load of rows known to be new. It runs in the
benchmark's own venv.
"""

import csv
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

BATCH = 5000
FILE, URL, IS_TUNED = Path(sys.argv[1]), urlsplit(sys.argv[2]), "tuned" in sys.argv

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": URL.path.strip("/"),
            "USER": URL.username or "",
            "PASSWORD": URL.password or "",
            "HOST": parse_qs(URL.query).get("host", [URL.hostname or ""])[0],
            "PORT": str(URL.port or ""),
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "import_export", "bench.shop"],
    USE_TZ=True,
)
django.setup()

import tablib
from import_export import fields, resources, widgets

from bench.shop.models import Category, Product, Supplier

FIND = widgets.CachedForeignKeyWidget if IS_TUNED else widgets.ForeignKeyWidget


class ProductResource(resources.ModelResource):
    """The products, with their parents by natural key."""

    supplier = fields.Field("supplier", "supplier", FIND(Supplier, "code"))
    category = fields.Field("category", "category", FIND(Category, "slug"))

    class Meta:
        model = Product
        exclude = ("id", "margin", "note", "changed_at")
        import_id_fields = ("supplier", "sku")
        use_bulk = True
        batch_size = BATCH
        skip_diff = True
        skip_html_diff = True
        force_init_instance = IS_TUNED


def main() -> None:
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        dataset = tablib.Dataset(headers=next(rows))
        dataset.extend(rows)
    ProductResource().import_data(dataset, raise_errors=True, use_transactions=True)


if __name__ == "__main__":
    main()
