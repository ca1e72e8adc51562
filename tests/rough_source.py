"""A rough CSV file of ten columns, and its source under two names: one to disturb, one to compare it with."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from etl.sources import (
    Contract,
    CsvSource,
    Date,
    NonBlank,
    PositiveDecimal,
    PositiveInt,
    Text,
    ZonedTime,
    lower,
    timedelta,
)

PATHS = ",".join(f"tests.rough_source.{name}" for name in ("Rough", "Twin"))
"""For ETL_SOURCES."""
VARIABLE = "ROUGH_CSV"
"""The environment variable that names the file."""

HEADER = ("code", "title", "group", "price", "currency", "day", "at", "stock", "note", "from Ж")
TITLES = (
    "Desk",
    'Desk "Oak"',
    "Desk,\nof two lines",
    "Стол\t№ 5",
    "机\\t子",
    "a\\Nb\\",
    " Desk ",
    "Tisch\r\n😀",
    "'%s'",
)
NOTES = ("", "", "plain", "tab\tand \\ and \\N", 'a "quoted"\n\nline\n', "é" * 300, "\u2028\x85", "null", ",")
BROKEN = (b"only,three,cells", b'open,"quote', b'a,"b"c,d', b"\xff,Desk,,1,EUR,2024-05-01,,,,")
"""Lines that are not records. Each is made different by its number."""


class Row(Contract):
    code: NonBlank
    title: Text
    group: NonBlank | None
    price: PositiveDecimal
    currency: Text | None
    day: Date
    at: ZonedTime | None
    stock: PositiveInt | None


class Rough(CsvSource):
    name = "rough"
    path = os.environ.get(VARIABLE, "rough.csv")
    every = timedelta(hours=1)
    contract = Row
    unified = {
        "external_id": "code",
        "name": "title",
        "category": lower("group"),
        "value": "price",
        "currency": "currency",
        "event_timestamp": "at",
    }


class Twin(Rough):
    name = "rough_twin"


def write_rough(path: Path, count: int, *, edition: int = 1, seed: int = 7) -> Path:
    """Write as many lines; of the rows 3 % are refused, and 2 % repeat an id. In edition 2, 1 % have changed."""
    with path.open("wb") as file:
        file.write("\ufeff".encode() + ",".join(HEADER).encode() + b"\r\n")
        file.writelines(_list_rows(count, edition, seed))
    return path


def _list_rows(count: int, edition: int, seed: int) -> Iterator[bytes]:
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        version = edition if edition > 1 and random.Random(f"{edition} {number}").random() < 0.01 else 1
        kind = chance.random()
        if kind < 0.015:
            yield b"%d %s\n" % (number, chance.choice(BROKEN))
            continue
        cells = _make_cells(chance, number, version)
        if kind < 0.03:
            spoiled, cell = chance.choice(((1, " "), (3, "free"), (3, "1e99"), (5, "2024-02-30"), (7, "-1"), (0, "")))
            cells[spoiled] = cell
        elif kind < 0.05:
            cells[0] = _make_code(chance.randrange(number + 1))
        yield ",".join(map(_quote, cells)).encode() + chance.choice((b"\n", b"\n", b"\r\n", b"\n\n"))


def _make_cells(chance: random.Random, number: int, version: int) -> list[str]:
    time = f"2024-05-{chance.randint(1, 28):02d}T10:00:{version:02d}{chance.choice(('Z', '.5+02:00'))}"
    return [
        _make_code(number),
        f"{chance.choice(TITLES)} {number}",
        chance.choice(("", "Things", "ÜBER\tALLES")),
        f"{number + 1}.{version}0",
        chance.choice(("", "EUR", " ₽ ")),
        f"2024-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        chance.choice(("", time)),
        chance.choice(("", "007", "12")),
        chance.choice(NOTES),
        f"версия {version}",
    ]


def _make_code(number: int) -> str:
    return (f"c{number}", f"Ж {number}", f"a\t{number}", f'"{number}"\\')[number % 4]


def _quote(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
