"""Small files of the kinds that teams are sent, from their bytes to unified fields or refusals."""

from datetime import timedelta
from typing import Any

import pytest

from etl.exceptions import SourceError
from etl.judgement import Judge
from etl.readers.file_source import FileSource
from etl.records import Accepted, Refusal
from etl.sources import (
    Boolean,
    Contract,
    CsvSource,
    Decimal,
    Identifier,
    Integer,
    JsonLinesSource,
    NonBlank,
    PositiveDecimal,
    Text,
    Time,
    ZonedTime,
    field,
)
from tests.factories import hold


def read(base: type[FileSource], contract: type[Contract], text: str, **unified: str) -> list[Any]:
    """Return per record its values of the unified fields that are mapped, or the message of its refusal."""
    first = next(iter(contract.fields))
    mapping = {"external_id": first, "name": first} | unified
    body = {"name": "kind", "path": "x", "every": timedelta(hours=1), "contract": contract, "unified": mapping}
    source = type("Kind", (base,), body)()
    chunks = source.dialect.open(hold(text.encode()), source).read(None, 100)
    items = [item for chunk in chunks for item in Judge(source).judge(chunk.items)]
    return [_show(item, unified) for item in items]


def _show(item: Any, unified: dict[str, str]) -> Any:
    if isinstance(item, Refusal):
        return item.breach.message
    assert isinstance(item, Accepted)
    shown = tuple(str(getattr(item.unified, target)) for target in unified)
    return shown[0] if len(shown) == 1 else shown


def test_columns_have_the_names_that_a_person_gave_them() -> None:
    class Order(Contract):
        number: Identifier = field(column="Order ID")
        customer: Text = field(column="Customer Name")
        group: Text = field(column="class")

    text = "Order ID,Customer Name,Total,class\n1001,Ann,20.00,x\n1002,Bob,30.00,y\n"
    assert read(CsvSource, Order, text, external_id="number", name="customer", category="group") == [
        ("1001", "Ann", "x"),
        ("1002", "Bob", "y"),
    ]


def test_a_text_that_is_too_long_is_named_as_its_column() -> None:
    class Order(Contract):
        number: Identifier = field(column="Order ID")

    assert read(CsvSource, Order, f"Order ID,x\n{'7' * 256},\n", external_id="number") == [
        "Order ID has 256 characters, at most 255 fit"
    ]


def test_columns_have_blanks_around_their_names() -> None:
    class Part(Contract):
        sku: NonBlank
        title: Text
        price: Decimal

    text = "\ufeffsku, title, Price\nA1, Bolt, 1.50\n"
    assert read(CsvSource, Part, text, external_id="sku", name="title", value="price") == [("A1", "Bolt", "1.50")]


class Sku(Contract):
    sku: NonBlank


class Yearly(Sku):
    year: Integer


def test_a_doubled_column_is_an_error_only_if_it_is_used() -> None:
    text = "year,sku,title,price,year\n2020,A1,Bolt,1.5,2021\n"
    assert read(CsvSource, Sku, text, external_id="sku", name="sku") == [("A1", "A1")]
    with pytest.raises(SourceError, match="names 'year' more than once"):
        read(CsvSource, Yearly, text, external_id="sku", name="sku")


def test_a_doubled_column_is_kept_in_the_raw_record() -> None:
    class Skus(CsvSource):
        contract = Sku
        path = "x"

    source = Skus()
    (chunk,) = source.dialect.open(hold(b"year,sku,year\n2020,A1,2021\n"), source).read(None, 10)
    assert [record.values for record in chunk.items if not isinstance(record, Refusal)] == [
        {"year": "2020", "sku": "A1", "year (2)": "2021"}
    ]
    assert chunk.slices[0].list_payloads() == ['{"year": "2020", "sku": "A1", "year (2)": "2021"}']


def test_optional_fields_are_absent_null_empty_or_there() -> None:
    class Person(Contract):
        id: NonBlank
        name: NonBlank
        segment: Text | None
        ltv: PositiveDecimal | None
        ended_at: ZonedTime | None

    text = """\
{"id":"2","name":"Bob","segment":null,"ltv":"10","ended_at":"2024-01-01T00:00:00Z"}
{"id":"3","name":"Cid","segment":"A","ltv":null}
{"id":"5","name":"Eve","segment":"","ltv":"10"}
{"id":"6","name":"Flo","ltv":"ten"}
"""
    assert read(JsonLinesSource, Person, text, category="segment", external_id="id", value="ltv", name="name") == [
        ("None", "2", "10", "Bob"),
        ("A", "3", "None", "Cid"),
        ("None", "5", "10", "Eve"),
        "ltv must be a number, not 'ten'",
    ]


def test_amounts_of_any_sign() -> None:
    class Transaction(Contract):
        txn: Identifier
        amount: Decimal = field(thousands=",")

    rows = {
        "20.00": "20.00",
        "-5.00": "-5.00",
        "0.00": "0",
        '"1,250.00"': "1250.00",
        "$12.50": "amount must be a number, not '$12.50'",
        "(12.50)": "amount must be a number, not '(12.50)'",
        "+3": "3",
        ".5": "0.5",
        " 7 ": "7",
    }
    text = "txn,amount\n" + "".join(f"T,{cell}\n" for cell in rows)
    assert read(CsvSource, Transaction, text, value="amount") == list(rows.values())


def test_identifiers_stay_apart() -> None:
    class Thing(Contract):
        id: Identifier

    cells = ["007", "7", " 8", "1.0", "1E+05", "0", "-1", "123456789012345678901", "A1", "a1"]
    assert read(CsvSource, Thing, "id,x\n" + "".join(f"{cell},\n" for cell in cells), external_id="id") == [
        cell.strip() for cell in cells
    ]
    text = '{"id":1}\n{"id":"2"}\n{"id":3.0}\n{"id":12345678901234567890}\n{"id":true}\n'
    assert read(JsonLinesSource, Thing, text, external_id="id") == [
        "1",
        "2",
        "3.0",
        "12345678901234567890",
        "id must be a string or a number, not true",
    ]


def test_what_json_can_not_be_refuses_a_record_where_the_contract_names_it() -> None:
    class Thing(Contract):
        id: NonBlank
        name: Text
        v: Decimal

    text = r"""{"id":"3","name":"other","v":1,"extra":1e400}
{"id":"4","name":"huge","v":1e400}
{"id":"6","name":"tiny","v":1e-19}
{"id":"7","name":"nul \u0000 char","v":1}
{"id":"8","name":"nul elsewhere","v":1,"x":"a\u0000b"}
{"id":"9","name":"surrogate elsewhere","v":1,"x":"\ud800"}
{"id":"10","name":"satoshi","v":0.00000001}
"""
    assert read(JsonLinesSource, Thing, text, name="name") == [
        "other",
        "v must have at most 20 digits before the decimal sign: 1e400",
        "v has more than 18 decimals: 1e-19",
        "name holds a NUL character, which PostgreSQL can't store as text",
        "nul elsewhere",
        "surrogate elsewhere",
        "satoshi",
    ]


def test_an_order_has_lines() -> None:
    class Line(Contract):
        sku: NonBlank
        price: Decimal

    class Order(Contract):
        id: Identifier
        line_items: list[Line]

    text = """{"id":1,"line_items":[{"sku":"A","price":"1"},{"sku":"B","price":"2"}]}
{"id":2,"line_items":[{"sku":"A","price":"1"},{"sku":"","price":"2"}]}
"""
    assert read(JsonLinesSource, Order, text, external_id="id") == ["1", "line_items[1].sku is blank"]


def test_booleans() -> None:
    class Person(Contract):
        id: Identifier
        active: Boolean

    assert read(CsvSource, Person, "id,active\n1,true\n2,False\n3,yes\n", external_id="id") == [
        "1",
        "2",
        "active must be 'false', 'true', not 'yes'",
    ]


def test_a_wallet_has_its_instant_in_three_columns() -> None:
    class Booking(Contract):
        code: Identifier = field(column="Transaktionscode")
        at: Time = field(
            columns=["Datum", "Uhrzeit", "Zeitzone"],
            formats=["%d.%m.%Y %H:%M:%S %Z"],
            zones={"CET": "+01:00", "CEST": "+02:00"},
        )
        gross: Decimal = field(column="Brutto", decimal=",", thousands=".")
        balance: Decimal | None = field(column="Guthaben", decimal=",", thousands=".")

    text = """\ufeff"Datum","Uhrzeit","Zeitzone","Brutto","Transaktionscode","Guthaben"
"18.06.2025","07:47:30","CEST","100,00","8L00","138,53"
"21.06.2025","12:29:40","CEST","-6,19","3P00","1.132,34"
"27.10.2024","02:30:00","CET","-0,50","9Q00",""
"27.10.2024","","CET","-0,50","9Q01",""
"""
    assert read(CsvSource, Booking, text, external_id="code", event_timestamp="at", value="balance") == [
        ("8L00", "2025-06-18 05:47:30+00:00", "138.53"),
        ("3P00", "2025-06-21 10:29:40+00:00", "1132.34"),
        ("9Q00", "2024-10-27 01:30:00+00:00", "None"),
        "Datum + Uhrzeit + Zeitzone is missing",
    ]
