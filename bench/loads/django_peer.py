"""Loads a clean products file with Django's bulk_create(update_conflicts=True): `django_peer.py FILE DATABASE_URL`."""

import csv
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

BATCH = 5000
FILE, URL = Path(sys.argv[1]), urlsplit(sys.argv[2])

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
    }
)
django.setup()

from django.db import connection, models, transaction


class Product(models.Model):
    """The table that a team would make for this file."""

    product_id = models.BigIntegerField(primary_key=True)
    name = models.TextField()
    category = models.TextField()
    price = models.DecimalField(max_digits=38, decimal_places=18)
    extra_col = models.TextField()

    objects: models.Manager["Product"] = models.Manager()

    class Meta:
        app_label = "peer"
        db_table = "peer_products"

    def __str__(self) -> str:
        return self.name


def read_products() -> Iterator[Product]:
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            row["category"] = row["category"].lower()
            yield Product(**row | {"product_id": int(row["product_id"]), "price": Decimal(row["price"])})


def main() -> None:
    if Product._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Product)
    products = read_products()
    with transaction.atomic():
        while batch := list(islice(products, BATCH)):
            Product.objects.bulk_create(
                batch,
                update_conflicts=True,
                unique_fields=["product_id"],
                update_fields=["name", "category", "price", "extra_col"],
            )


if __name__ == "__main__":
    main()
