"""The content of the four sources, in three editions. The dump was made from it, so no byte of it may change."""

import json
from pathlib import Path

RECORDS = 1020
"""Every 51st record is refused, so 1,000 are accepted. Edition 3 adds five. The end repeats the first two."""


def write_inputs(folder: Path, edition: int) -> dict[str, str]:
    """Write the three files, and `coins.json` for the sandbox. Return the settings that name the files."""
    numbers = [*range(1, RECORDS + (6 if edition == 3 else 1)), 1, 2]
    contents = {
        "products.csv": ["product_id,name,category,price,extra_col", *(_make_product(n, edition) for n in numbers)],
        "vendors.csv": ["vendor_id,product_name,group,amount", *(_make_vendor(n, edition) for n in numbers)],
        "listings.ndjson": [_make_listing(n, edition) for n in numbers],
        "coins.json": ["[", ",\n".join(_make_coin(n, edition) for n in numbers), "]"],
    }
    for name, lines in contents.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    settings = {"PRODUCTS_CSV": "products.csv", "VENDORS_CSV": "vendors.csv", "LISTINGS_JSON": "listings.ndjson"}
    return {setting: str(folder / name) for setting, name in settings.items()}


def _has_changed(number: int, edition: int) -> bool:
    """A twentieth of the records changes in edition 2, and another twentieth in edition 3."""
    return 2 <= number % 20 <= edition


def _make_name(kind: str, number: int) -> str:
    """Return the record's name, which is blank in every second refused record."""
    return f"{kind} {number}" if number % 102 else ""


def _make_price(number: int, edition: int) -> str:
    return "free" if number % 102 == 51 else f"{number}.{'75' if _has_changed(number, edition) else '25'}"


def _make_product(number: int, edition: int) -> str:
    return f"{number},{_make_name('Product', number)},Things,{_make_price(number, edition)},x"


def _make_vendor(number: int, edition: int) -> str:
    kind = "Doubtful" if number % 100 == 7 else "Vendor"
    return f"V{number},{_make_name(kind, number)},Things,{_make_price(number, edition)}"


def _make_listing(number: int, edition: int) -> str:
    if number % 102 == 0:
        return f'{{"sku": "L{number}", '
    has_changed = _has_changed(number, edition)
    zone = "" if number % 102 == 51 else "Z"
    listing = {
        "sku": f"L{number}",
        "title": f"Listing {number}",
        "department": {"name": "Things"},
        "price": {"amount": number + (0.75 if has_changed else 0.25), "currency": "EUR"},
        "updated_at": f"2026-0{number % 20 if has_changed else 1}-01T00:00:00{zone}",
    }
    return json.dumps(listing | ({"stock": number} if has_changed else {}))


def _make_coin(number: int, edition: int) -> str:
    has_changed = _has_changed(number, edition)
    coin = {"id": f"c{number}", "name": _make_name("Coin", number)}
    if number % 102 != 51:
        coin["symbol"] = f"s{number}"
    return json.dumps(coin | ({"platform": "p"} if has_changed else {}))
