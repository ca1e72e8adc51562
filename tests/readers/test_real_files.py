"""Files as banks, shops and councils send them: what becomes of them if their dialect is declared, and if it is not."""

from datetime import timedelta
from typing import Any

import pytest

from etl.exceptions import SourceError
from etl.first_records import judge_start
from etl.gates import Former
from etl.judgement import Judge
from etl.records import Accepted, Refusal
from etl.sources import Contract, Csv, CsvSource, Date, Decimal, NonBlank, PositiveDecimal, Text, field
from etl.vocabulary import Reason
from tests.factories import hold, read_items

MARK = b"\xef\xbb\xbf"


class Part(Contract):
    sku: NonBlank
    title: NonBlank
    price: PositiveDecimal


class Export(CsvSource):
    name = "export"
    path = "export.csv"
    every = timedelta(hours=1)


class Parts(Export):
    contract = Part
    unified = {"external_id": "sku", "name": "title", "value": "price"}


def declare(dialect: Csv, kind: type[CsvSource] = Parts) -> CsvSource:
    class Declared(kind):  # type: ignore[misc,valid-type]
        pass

    Declared.dialect, Declared.form = dialect, dialect.form
    return Declared()


def land(source: CsvSource, text: bytes) -> list[Any]:
    """Return what lands of each record, or its line and code, in the order of the file."""
    judged = Judge(source).judge(read_items(source.dialect.open(hold(text), source)))
    return [
        (item.line, str(item.breach.code))
        if isinstance(item, Refusal)
        else (item.unified.external_id, item.unified.name, str(item.unified.value))
        for item in judged
        if isinstance(item, Accepted | Refusal)
    ]


def fail(source: CsvSource, text: bytes) -> str:
    """Return why a run fails before its first batch."""
    try:
        verdict = judge_start(source, source.dialect.open(hold(text), source), Former(None)).verdict
    except SourceError as error:
        return str(error)
    (failure,) = verdict
    assert failure.gate is Reason.COLUMNS_MISSING
    return failure.message


BOLT, NUT = ("A1", "Bolt", "1.5"), ("A2", "Nut", "2")
PREAMBLE = b"Account: 123\nRange: 2024-01-01 - 2024-01-31\n\nsku,title,price\nA1,Bolt,1.5\nTotal,,1.5\n"
CAFE = "sku,title,price\nA1,Café,3.5\nA2,Tea,4\n"

DECLARED = [
    (
        "semicolons",
        Csv(delimiter=";", decimal=",", thousands="."),
        MARK + b"sku;title;price\r\nA1;Schraube M4;1.234,50\r\nA2;Mutter;0,05\r\n",
        [("A1", "Schraube M4", "1234.50"), ("A2", "Mutter", "0.05")],
    ),
    ("cp1252", Csv(encoding="cp1252"), CAFE.encode("cp1252"), [("A1", "Café", "3.5"), ("A2", "Tea", "4")]),
    ("utf16", Csv(encoding="utf-16"), CAFE.encode("utf-16"), [("A1", "Café", "3.5"), ("A2", "Tea", "4")]),
    ("trailing", Csv(trailing_delimiter=True), b"sku,title,price,,\nA1,Bolt,1.5,,\n", [BOLT]),
    ("preamble", Csv(skip_lines=3, footer_lines=1), PREAMBLE, [BOLT]),
    ("no_header", Csv(names=["sku", "title", "price"]), b"A1,Bolt,1.5\nA2,Nut,2\n", [BOLT, NUT]),
    ("tabs", Csv(delimiter="\t"), b"sku\ttitle\tprice\nA1\tBolt\t1.5\n", [BOLT]),
    ("cr", Csv(line_end="\r"), b"sku,title,price\rA1,Bolt,1.5\rA2,Nut,2\r", [BOLT, NUT]),
    ("sep", Csv(skip_lines=1), b"sep=,\r\nsku,title,price\r\nA1,Bolt,1.5\r\n", [BOLT]),
    ("named", Csv(delimiter=";"), b"sep=;\r\nsku;title;price\r\nA1;Bolt;1.5\r\n", [BOLT]),
    ("doubled", Csv(), b"year,sku,title,price,year\n2020,A1,Bolt,1.5,2020\n", [BOLT]),
]


@pytest.mark.parametrize(("dialect", "text", "expected"), [each[1:] for each in DECLARED], ids=[d[0] for d in DECLARED])
def test_a_declared_file_lands_whole(dialect: Csv, text: bytes, expected: list[Any]) -> None:
    source = declare(dialect)
    assert fail_or_pass(source, text) == ()
    assert land(source, text) == expected


def fail_or_pass(source: CsvSource, text: bytes) -> Any:
    return judge_start(source, source.dialect.open(hold(text), source), Former(None)).verdict


UNDECLARED = [
    ("semicolons", DECLARED[0][2], 'This looks like a file separated by semicolons: declare delimiter=";"'),
    ("utf16", CAFE.encode("utf-16"), 'this looks like UTF-16 text: declare encoding="utf-16"'),
    ("trailing", DECLARED[3][2], "2 columns of the header have no name: declare trailing_delimiter=True"),
    ("preamble", PREAMBLE, "The content has 'Account: 123'"),
    ("no_header", DECLARED[5][2], "The content has 'A1', 'Bolt', '1.5'"),
    ("tabs", DECLARED[6][2], 'This looks like a file separated by tabs: declare delimiter="\\t"'),
    ("cr", DECLARED[7][2], 'lines end with a carriage return alone: declare line_end="\\r"'),
    (
        "sep",
        DECLARED[8][2],
        "This looks like a file whose first line names its separator ('sep=,'): declare skip_lines=1",
    ),
    ("named", DECLARED[9][2], "names its separator ('sep=;'): declare delimiter=\";\""),
]


@pytest.mark.parametrize(("text", "complaint"), [each[1:] for each in UNDECLARED], ids=[d[0] for d in UNDECLARED])
def test_an_undeclared_file_is_named_before_anything_lands(text: bytes, complaint: str) -> None:
    assert complaint in fail(Parts(), text)


def test_an_undeclared_encoding_is_named_by_row_and_byte() -> None:
    source = Parts()
    refusal, _ = read_items(source.dialect.open(hold(CAFE.encode("cp1252")), source))
    assert isinstance(refusal, Refusal)
    assert (refusal.line, refusal.breach.message) == (2, "title is not valid UTF-8: 0xE9, byte 7 of the row")


def test_a_doubled_name_that_the_contract_uses_fails_by_name() -> None:
    assert "the header names 'sku' more than once" in fail(Parts(), b"sku,sku,title,price\nA1,A2,Bolt,1.5\n")


# A bank's export with a preamble


class Booking(Contract):
    day: Date = field(column="Buchungsdatum", formats=["%d.%m.%y"])
    purpose: NonBlank = field(column="Verwendungszweck")
    amount: Decimal = field(column="Betrag (€)")
    reference: Text | None = field(column="Kundenreferenz")


class Bookings(Export):
    contract = Booking
    dialect = Csv(delimiter=";", decimal=",", thousands=".", skip_lines=4)
    unified = {"external_id": ("day", "purpose"), "name": "purpose", "value": "amount", "category": "reference"}


BANK = """"Girokonto";"DE00 0000"

"Kontostand vom 09.12.2025:";"4.093,32 €"
""
"Buchungsdatum";"Wertstellung";"Status";"Zahlungspflichtige*r";"Verwendungszweck";"Betrag (€)";"Kundenreferenz"
"08.12.25";"08.12.25";"Gebucht";"A";"Miete; Dezember";"200";""
"05.12.25";"05.12.25";"Gebucht";"B";"Einkauf";"-62,3";"50125"
"""


def test_a_banks_export_with_a_preamble_lands_whole() -> None:
    landed = land(Bookings(), MARK + BANK.encode())
    assert [(name, value) for _, name, value in landed] == [("Miete; Dezember", "200"), ("Einkauf", "-62.3")]


# A shop's export with line breaks in quotes, and rows of pictures


class Variant(Contract):
    sku: NonBlank = field(column="Variant SKU")
    body: Text | None = field(column="Body (HTML)")
    price: Decimal = field(column="Variant Price")


class Variants(Export):
    contract = Variant
    unified = {"external_id": "sku", "name": "sku", "value": "price", "category": "body"}


SHOP = b"""Handle,Title,Body (HTML),Variant SKU,Variant Price
oak-table,Oak table,"<p>Solid,
""real"" oak</p>",OT-S,249.00
oak-table,,,OT-L,349.00
oak-table,,,,
lamp,Lamp,,L-1,0.00
"""


def test_a_shops_export_lands_with_line_breaks_in_quotes_and_exact_lines() -> None:
    assert land(Variants(), SHOP) == [
        ("OT-S", "OT-S", "249.00"),
        ("OT-L", "OT-L", "349.00"),
        (5, "blank"),
        ("L-1", "L-1", "0"),
    ]


# A council's spending, in cp1252


class Payment(Contract):
    number: NonBlank = field(column="Transaction Number")
    service: Text = field(column="Service Label")
    amount: Decimal = field(column="Net Amount")


class Payments(Export):
    contract = Payment
    dialect = Csv(encoding="cp1252")
    unified = {"external_id": "number", "name": "service", "value": "amount"}


COUNCIL = """Service Code,Service Label,Transaction Number,Net Amount
1042,Highways,6101,3250.00
2044,Children’s homes,6102,-12.50
"""


def test_a_councils_spending_in_cp1252_lands_with_its_text() -> None:
    assert land(Payments(), COUNCIL.encode("cp1252")) == [
        ("6101", "Highways", "3250.00"),
        ("6102", "Children’s homes", "-12.50"),
    ]
