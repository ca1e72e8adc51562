"""Loads a products file with dlt, in the venv of the peers: `dlt_peer.py MODE FILE DATABASE_URL FOLDER`.

MODE: `arrow` merges Arrow's tables into one table, `both` also appends them to a raw table, and `default` merges
dictionaries with dlt's default loader. Every mode upserts by the id, as dlt's documentation recommends for a key.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow.csv

MODE, FILE, URL, FOLDER = sys.argv[1:]
MERGED = {"write_disposition": {"disposition": "merge", "strategy": "upsert"}, "primary_key": "product_id"}


def read_tables() -> Iterator[Any]:
    yield from pyarrow.csv.open_csv(FILE)


def read_dicts() -> Iterator[dict[str, str]]:
    with Path(FILE).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def make_resources() -> list[Any]:
    if MODE == "default":
        return [dlt.resource(read_dicts, name="products", **MERGED)]
    raw = dlt.resource(read_tables, name="raw_products", write_disposition="append")
    merged = dlt.resource(read_tables, name="products", **MERGED)
    return [raw, merged] if MODE == "both" else [merged]


def main() -> None:
    destination = dlt.destinations.postgres(URL)
    pipeline = dlt.pipeline("products", pipelines_dir=FOLDER, destination=destination, dataset_name="peer")
    how = {} if MODE == "default" else {"loader_file_format": "csv"}
    pipeline.run(make_resources(), **how)


if __name__ == "__main__":
    main()
