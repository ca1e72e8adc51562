"""The source files: products, rougher records and an export, always the same for the same number of rows.

`is_changed` gives every thousandth product another price.
"""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRODUCT_COLUMNS = ("product_id", "name", "category", "price", "extra_col")
ROUGH_COLUMNS = (
    *("code", "title", "body", "section", "amount", "currency", "updated_at", "released", "note", "supplier"),
)
EXPORT_COLUMNS = ("Beleg", "Buchungstag", "Zeitpunkt", "Empfänger", "Betrag", "Währung", "Verwendung", "Kunde")
REFUSED_PRODUCTS, REPEATED_PRODUCTS, QUOTED_PRODUCTS, REFUSED_ROUGH = 0.008, 0.005, 0.02, 0.03
CHANGED_EVERY = 1000
WIDE_COLUMNS, REFUSED_WIDE = 200, 0.01
TITLES = (
    "Ledger",
    "Größe »M«",
    "Книга учёта",
    "製品カタログ",
    "دفتر الحسابات",
    'The "old" map',
    "Ταμείο",
    "Atlas, vol. 2",
)
BODIES = (
    "Plain text without surprises, long enough to matter for the size of a row.",
    'He said "no",\nand the next line\tbegan with a tab.',
    "Ligne première\r\nПривіт, Європо",  # noqa: RUF001  (other alphabets are the point)
    r"A path such as C:\new\table and a \N that is no NULL",
    "多くの文字、改行\nと「引用」",
)
Row = dict[str, Any]


def make_products(count: int, *, is_changed: bool = False, is_clean: bool = False) -> Iterator[Row]:
    """Yield `count` products: 0.8 % to be refused, 0.5 % with an id that came before, a doubled quote in some names.

    `is_clean` leaves out those of the first two kinds, for peers that can't load them.
    """
    dice = random.Random(7)
    for number in range(1, count + 1):
        luck, price = dice.random(), f"{dice.randrange(1, 10_000)}.{dice.randrange(100):02}"
        name = f"Product {number} of line {dice.randrange(1000)}"
        if dice.random() < QUOTED_PRODUCTS:
            name = f'{name}, 12" wide'
        if is_changed and number % CHANGED_EVERY == 0:
            price = f"1{price}"
        row: Row = dict(
            zip(PRODUCT_COLUMNS, (number, name, f"Category {dice.randrange(200)}", price, "x"), strict=True)
        )
        if luck < REFUSED_PRODUCTS:
            row |= _spoil_product(number)
        elif luck < REFUSED_PRODUCTS + REPEATED_PRODUCTS:
            row["product_id"] = max(1, number // 2)
        if not is_clean or luck >= REFUSED_PRODUCTS + REPEATED_PRODUCTS:
            yield row


def _spoil_product(number: int) -> Row:
    return ({"price": "n/a"}, {"name": ""}, {"product_id": ""}, {"price": "-1"})[number % 4]


def make_rough(count: int) -> Iterator[Row]:
    """Yield `count` records with quotes, tabs, line breaks and several alphabets; 3 % are to be refused."""
    dice = random.Random(11)
    for number in range(1, count + 1):
        luck, day = dice.random(), 1 + number % 28
        amount = f"{dice.randrange(1, 100_000)}.{dice.randrange(10_000):04}"
        values = (
            f"{dice.choice('ABCDEFGH')}-{number:08}-{dice.randrange(16**4):04x}",
            f"{dice.choice(TITLES)} {number}",
            dice.choice(BODIES),
            f"Section {dice.randrange(40)}",
            amount,
            dice.choice(("EUR", "USD", "JPY")),
            f"2026-{1 + number % 12:02}-{day:02}T{number % 24:02}:{number % 60:02}:00+0{number % 3}:00",
            f"20{10 + number % 15}-{1 + number % 12:02}-{day:02}",
            "" if number % 3 else f"Note on {number}:\tsee “§ {day}”",
            "" if number % 2 else f"Supplier № {dice.randrange(500)}",
        )
        row: Row = dict(zip(ROUGH_COLUMNS, values, strict=True))
        yield row | _spoil_rough(number) if luck < REFUSED_ROUGH else row


def _spoil_rough(number: int) -> Row:
    return ({"amount": "1,5"}, {"title": " "}, {"code": ""})[number % 3]


def make_export(count: int) -> Iterator[Row]:
    """Yield `count` bookings as a German bank or shop exports them; 3 % are to be refused."""
    dice = random.Random(13)
    for number in range(1, count + 1):
        day = f"{1 + number % 28:02}.{1 + number % 12:02}.20{10 + number % 15}"
        cents = dice.randrange(-10_000_000, 10_000_000)
        amount = f"{cents // 100:,}".replace(",", ".") + f",{cents % 100:02}"
        values = (
            f"RE-{number:08}",
            day,
            f"{day} {number % 24:02}:{number % 60:02}",
            dice.choice(("Müller & Söhne", 'Gasthaus "Zum Löwen"', "Åse Øst", "Café; Bar")),
            amount if dice.random() >= REFUSED_ROUGH else "k. A.",
            "EUR",
            "" if number % 3 else f"Rechnung {number}\nfällig § {day}",
            "" if number % 2 else f"Kunde {dice.randrange(500)}",
        )
        yield dict(zip(EXPORT_COLUMNS, values, strict=True))


def make_wide(count: int) -> Iterator[Row]:
    """Yield `count` measurements of 200 columns, some of them quoted; 1 % are to be refused."""
    dice = random.Random(17)
    names = [f"reading_{number:03}" for number in range(1, WIDE_COLUMNS - 1)]
    for number in range(1, count + 1):
        first = dice.randrange(100_000)
        texts = [f"{first + place}.5" if place % 10 else f"{place}, № {first}" for place in range(len(names))]
        amount = "n/a" if dice.random() < REFUSED_WIDE else str(first + 1)
        yield {"number": f"M-{number:08}", "amount": amount, **dict(zip(names, texts, strict=True))}


def write_csv(path: Path, rows: Iterator[Row], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Write the rows as CSV; every value is a string there."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        first = next(rows)
        writer.writerows((first.keys(), first.values()))
        writer.writerows(row.values() for row in rows)
    return path


def write_lines(path: Path, rows: Iterator[Row]) -> Path:
    """Write the rows as NDJSON."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    return path


def write_array(path: Path, rows: Iterator[Row]) -> Path:
    """Write the rows as one JSON array."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            file.write(f"{',' if number else '['}{json.dumps(row, ensure_ascii=False)}")
        file.write("]")
    return path
