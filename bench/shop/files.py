"""The supplier's file, always the same for the same number of rows, and the same products for the peer.

Names and texts have quotes, tabs, line breaks and several alphabets. Of the rows 0.3 % each break the contract, a
constraint of the table, or name a supplier that does not exist; 0.2 % repeat a key, and 0.5 % have an unknown category.
"""

import random
from collections.abc import Iterator

from bench.loads.files import BODIES, TITLES, Row

SUPPLIERS, CATEGORIES = 200, 500
CONTRACT, CONSTRAINT, NO_PARENT, REPEATED, LANDS = "contract", "constraint", "no_parent", "repeated", "lands"
"""What becomes of a row."""
SHARES = {CONTRACT: 0.003, CONSTRAINT: 0.003, NO_PARENT: 0.003, REPEATED: 0.002}
UNKNOWN_CATEGORY = 0.005
CHANGED_EVERY = 100

_BROKEN = ({"VK netto": "n/a"}, {"Bezeichnung": ""}, {"Gelistet": "2026-02-31"})
_VIOLATING = ({"Bestand": "-5"}, {"VK netto": "0", "Status": "J"}, {"UVP": "0,01"})
_FIELDS = {
    "Artikelnummer": "sku",
    "Lieferant": "supplier",
    "Warengruppe": "category",
    "Bezeichnung": "name",
    "EAN": "ean",
    "VK netto": "price",
    "UVP": "list_price",
    "Bestand": "stock",
    "Status": "status",
    "Gelistet": "listed_on",
    "Text": "description",
}


def make_products(count: int, *, is_changed: bool = False) -> Iterator[tuple[str, Row]]:
    """Yield what becomes of each row, and the row. `is_changed` gives every hundredth that lands another stock."""
    dice = random.Random(19)
    landed: Row = {}
    for number in range(1, count + 1):
        fate, row = _choose_fate(dice.random()), _make_row(dice, number)
        if fate == CONTRACT:
            row |= _BROKEN[number % 3]
        elif fate == CONSTRAINT:
            row |= _VIOLATING[number % 3]
        elif fate == NO_PARENT:
            row["Lieferant"] = f"NEW-{number % 7}"
        elif fate == REPEATED and landed:
            row |= landed
        else:
            fate, landed = LANDS, {name: row[name] for name in ("Artikelnummer", "Lieferant")}
            if is_changed and number % CHANGED_EVERY == 0:
                row["Bestand"] += 1000
        yield fate, row


def make_clean(count: int) -> Iterator[Row]:
    """Yield those of the products that land, with the names and values of the model's fields."""
    words = {"J": "active", "N": "ended"}
    for fate, row in make_products(count):
        if fate == LANDS:
            clean: Row = {_FIELDS[name]: value for name, value in row.items()}
            clean |= {name: clean[name].replace(",", ".") for name in ("price", "list_price")}
            category = clean["category"].lower()
            yield clean | {"status": words[clean["status"]], "category": "" if "unknown" in category else category}


def _choose_fate(luck: float) -> str:
    for fate, share in SHARES.items():
        if luck < share:
            return fate
        luck -= share
    return LANDS


def _make_row(dice: random.Random, number: int) -> Row:
    cents = dice.randrange(100, 1_000_000)
    category = f"Group-{dice.randrange(CATEGORIES)}" if dice.random() >= UNKNOWN_CATEGORY else f"Unknown-{number % 9}"
    return {
        "Artikelnummer": f"{dice.choice('ABCDEFGH')}-{number:08}",
        "Lieferant": f"S-{dice.randrange(SUPPLIERS):03}",
        "Warengruppe": category,
        "Bezeichnung": f"{dice.choice(TITLES)} {number}",
        "EAN": "" if number % 5 == 0 else f"{4_000_000_000_000 + dice.randrange(10**11)}",
        "VK netto": f"{cents // 100},{cents % 100:02}",
        "UVP": "" if number % 4 == 0 else f"{cents // 80},{cents % 100:02}",
        "Bestand": dice.randrange(900),
        "Status": "N" if number % 6 == 0 else "J",
        "Gelistet": f"20{10 + number % 15}-{1 + number % 12:02}-{1 + number % 28:02}",
        "Text": dice.choice(BODIES),
    }
