"""Laws of the strict types, of a contract's judgement, and of every source's use of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.contracts.contract import Contract
from etl.contracts.field_type import Number
from etl.contracts.numbers import VALUE_DECIMALS, VALUE_DIGITS
from etl.readers.mapping import TEXT_LIMITS
from etl.readers.source import Source
from etl.records import Breach, UnifiedFields
from etl.sources import Date, NonBlank, PositiveDecimal, PositiveInt, Text, ZonedTime, lower
from etl.vocabulary import BreachCode


class Named(Contract):
    text: NonBlank


class Counted(Contract):
    count: PositiveInt


class Priced(Contract):
    price: PositiveDecimal


class Dated(Contract):
    at: ZonedTime


class Titled(Contract):
    title: Text


class Due(Contract):
    day: Date


class Offer(Contract):
    sku: NonBlank
    price: Priced
    at: ZonedTime


class Shelf(Contract):
    offer: Offer


class Shop(Source):
    name = "shop"
    contract: ClassVar[type[Contract]] = Offer
    unified = {"external_id": "sku", "name": lower("sku"), "value": "price.price", "event_timestamp": "at"}


class Counting(Source):
    name = "counting"
    contract = Counted
    unified = {"external_id": "count", "name": "count"}


def make_offer(**changes: Any) -> dict[str, Any]:
    return {"sku": "A1", "price": {"price": Number("9.50")}, "at": "2024-05-01T10:00:00Z"} | changes


def find_code(contract: type[Contract], value: Any) -> BreachCode | None:
    """Return the breach code of the contract's one field for the value; None if the field accepts it."""
    (name,) = contract.fields
    judged = contract.judge({name: value})
    return judged.code if isinstance(judged, Breach) else None


def parse(contract: type[Contract], value: Any) -> Any:
    (name,) = contract.fields
    judged = contract.judge({name: value})
    assert isinstance(judged, dict), judged
    return judged[name]


# Whole numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), ("007", 7), (Number("7"), 7), ("0000", None), ("9" * 38, int("9" * 38)), ("0" * 37 + "1", 1)],
)
def test_padding_does_not_change_a_whole_number(value: Any, number: int | None) -> None:
    judged = Counted.judge({"count": value})
    assert (judged["count"] if isinstance(judged, dict) else None) == number


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1_000", BreachCode.NOT_AN_INTEGER),
        ("٣", BreachCode.NOT_AN_INTEGER),
        ("７", BreachCode.NOT_AN_INTEGER),
        ("²", BreachCode.NOT_AN_INTEGER),
        ("1.0", BreachCode.NOT_AN_INTEGER),
        (Number("1.0"), BreachCode.NOT_AN_INTEGER),
        (Number("1e3"), BreachCode.NOT_AN_INTEGER),
        ("1e999999", BreachCode.NOT_AN_INTEGER),
        ("+7", BreachCode.NOT_AN_INTEGER),
        (" 7", BreachCode.NOT_AN_INTEGER),
        ("7\n", BreachCode.NOT_AN_INTEGER),
        ("7\x00", BreachCode.NOT_AN_INTEGER),
        ("\ud800", BreachCode.NOT_AN_INTEGER),
        ("NaN", BreachCode.NOT_AN_INTEGER),
        ("0x10", BreachCode.NOT_AN_INTEGER),
        (True, BreachCode.NOT_A_NUMBER),
        (1, BreachCode.NOT_A_NUMBER),  # a reader gives a Number or a string; anything else was rounded on the way
        (1.0, BreachCode.NOT_A_NUMBER),
        ([Number("1")], BreachCode.NOT_A_NUMBER),
        ({"a": Number("1")}, BreachCode.NOT_A_NUMBER),
        ("0", BreachCode.NOT_POSITIVE),
        ("-0", BreachCode.NOT_POSITIVE),
        ("-7", BreachCode.NOT_POSITIVE),
        ("-" + "9" * 38, BreachCode.NOT_POSITIVE),
        ("1" + "0" * 38, BreachCode.OUT_OF_RANGE),
        ("1" * 5000, BreachCode.OUT_OF_RANGE),  # int() itself would raise
        ("", BreachCode.BLANK),
        (" \t", BreachCode.BLANK),
        (None, BreachCode.MISSING),
    ],
)
def test_nothing_else_is_accepted_as_a_whole_number(value: Any, code: BreachCode) -> None:
    assert find_code(Counted, value) == code


# Decimals


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("699", "699"),
        ("250.50", "250.50"),
        (Number("1e3"), "1000"),
        ("1E-18", "0.000000000000000001"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("1.5" + "0" * 40, "1.5"),
        ("9" * 20 + "." + "9" * 18, "9" * 20 + "." + "9" * 18),
        ("007.5", "7.5"),
    ],
)
def test_decimal_is_not_rounded(value: Any, number: str) -> None:
    assert parse(Priced, value) == Decimal(number)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("not_a_number", BreachCode.NOT_A_NUMBER),
        ("1_000", BreachCode.NOT_A_NUMBER),
        ("١٢٫٥", BreachCode.NOT_A_NUMBER),
        ("１２", BreachCode.NOT_A_NUMBER),
        ("1,50", BreachCode.NOT_A_NUMBER),
        ("$5", BreachCode.NOT_A_NUMBER),
        (".5", BreachCode.NOT_A_NUMBER),
        ("5.", BreachCode.NOT_A_NUMBER),
        ("+5", BreachCode.NOT_A_NUMBER),
        (" 5", BreachCode.NOT_A_NUMBER),
        ("5\n", BreachCode.NOT_A_NUMBER),
        ("5\x00", BreachCode.NOT_A_NUMBER),
        ("NaN", BreachCode.NOT_A_NUMBER),
        ("sNaN", BreachCode.NOT_A_NUMBER),
        ("Infinity", BreachCode.NOT_A_NUMBER),
        (True, BreachCode.NOT_A_NUMBER),
        (1.0, BreachCode.NOT_A_NUMBER),
        ("0", BreachCode.NOT_POSITIVE),
        ("0.00", BreachCode.NOT_POSITIVE),
        ("0e999", BreachCode.NOT_POSITIVE),
        ("-0.01", BreachCode.NOT_POSITIVE),
        ("1e999999", BreachCode.OUT_OF_RANGE),
        ("1e99999999999999999999", BreachCode.OUT_OF_RANGE),  # Decimal() itself would raise
        ("1e-99999999999999999999", BreachCode.OUT_OF_RANGE),
        ("1" + "0" * 20, BreachCode.OUT_OF_RANGE),
        ("1." + "0" * 80, BreachCode.OUT_OF_RANGE),
        ("0.1234567890123456789", BreachCode.TOO_PRECISE),
        ("1e-19", BreachCode.TOO_PRECISE),
        ("1e-9999999", BreachCode.TOO_PRECISE),  # rounding it away would land a 0
        ("1.0000000000000000001", BreachCode.TOO_PRECISE),
        ("", BreachCode.BLANK),
        ("\u3000", BreachCode.BLANK),
        (None, BreachCode.MISSING),
    ],
)
def test_nothing_else_is_accepted_as_a_decimal(value: Any, code: BreachCode) -> None:
    assert find_code(Priced, value) == code


@given(st.integers(-5, 5) | st.integers(0, 10**40), st.integers(-45, 25))
@example(1, -18)
@example(10, -19)
@example(10**20 - 1, 0)
def test_decimal_is_accepted_exactly_when_numeric_38_18_holds_it(digits: int, exponent: int) -> None:
    units = Fraction(digits) * Fraction(10) ** (exponent + VALUE_DECIMALS)
    fits = units.denominator == 1 and 0 < units < 10**VALUE_DIGITS
    judged = Priced.judge({"price": Number(f"{digits}e{exponent}")})
    assert (judged == {"price": Decimal(f"{digits}e{exponent}")}) == fits


@given(st.text() | st.from_regex(r"-?[0-9_.eE+-]{1,50}", fullmatch=True))
@example("1e-99999999999999999999999999")
def test_any_text_is_judged_by_every_type_without_an_error(text: str) -> None:
    for contract in (Named, Titled, Counted, Priced, Dated, Due):
        (name,) = contract.fields
        judged = contract.judge({name: text})
        assert isinstance(judged, (dict, Breach))
        if isinstance(judged, Breach):
            assert judged.column == name
            assert judged.message.startswith(f"{name} ")


# Strings


@pytest.mark.parametrize("text", ["Desk", " padded ", "0", "Größe 4️⃣", "a\nb", "\u200b"])
def test_text_is_kept_as_it_was_sent(text: str) -> None:
    assert parse(Named, text) == text


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, BreachCode.MISSING),
        ("", BreachCode.BLANK),
        (" \t\r\n", BreachCode.BLANK),
        ("\u00a0\u2003", BreachCode.BLANK),
        ("a\x00b", BreachCode.NUL_CHARACTER),
        ("\x00", BreachCode.NUL_CHARACTER),
        ("a\ud800b", BreachCode.BAD_ENCODING),
        ("\udfff", BreachCode.BAD_ENCODING),
        (Number("1"), BreachCode.NOT_TEXT),
        (True, BreachCode.NOT_TEXT),
        (False, BreachCode.NOT_TEXT),
        ([], BreachCode.NOT_TEXT),
        ({}, BreachCode.NOT_TEXT),
    ],
)
def test_unusable_text_is_refused(value: Any, code: BreachCode) -> None:
    assert find_code(Named, value) == code


@pytest.mark.parametrize(("text", "trimmed"), [("Desk", "Desk"), (" a  b\t\n", "a  b"), ("\u3000é\u00a0", "é")])
def test_text_is_trimmed(text: str, trimmed: str) -> None:
    assert parse(Titled, text) == trimmed


@pytest.mark.parametrize("value", ["", " \t\r\n", "\u00a0", "a\x00b", "a\ud800b", Number("1"), True, [], {}, None])
def test_text_refuses_what_non_blank_refuses(value: Any) -> None:
    assert find_code(Titled, value) == find_code(Named, value) is not None


# Dates


@pytest.mark.parametrize("text", ["2024-02-29", "0001-01-01", "9999-12-31", "2024-04-30", " 2024-12-31\n"])
def test_date_that_exists_is_accepted(text: str) -> None:
    assert parse(Due, text) == date.fromisoformat(text.strip())


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("20240501", BreachCode.NOT_A_DATE),  # date.fromisoformat reads it, and weeks too
        ("2024-W18-3", BreachCode.NOT_A_DATE),
        ("2024-5-1", BreachCode.NOT_A_DATE),
        ("01.05.2024", BreachCode.NOT_A_DATE),
        ("2024-05-01T00:00:00Z", BreachCode.NOT_A_DATE),
        ("2024-05-01 .", BreachCode.NOT_A_DATE),
        ("２０２４-05-01", BreachCode.NOT_A_DATE),
        (Number("20240501"), BreachCode.NOT_A_DATE),
        (True, BreachCode.NOT_A_DATE),
        ("2023-02-29", BreachCode.OUT_OF_RANGE),
        ("2024-04-31", BreachCode.OUT_OF_RANGE),
        ("2024-13-01", BreachCode.OUT_OF_RANGE),
        ("0000-01-01", BreachCode.OUT_OF_RANGE),
        ("", BreachCode.BLANK),
        (" ", BreachCode.BLANK),
        (None, BreachCode.MISSING),
    ],
)
def test_nothing_else_is_accepted_as_a_date(value: Any, code: BreachCode) -> None:
    assert find_code(Due, value) == code


# Times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00+02:00", datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("2024-05-01T10:00:00-0530", datetime(2024, 5, 1, 15, 30, tzinfo=UTC)),
        ("2024-05-01T10:00:00.5Z", datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-05-01T10:00:00.123456789Z", datetime(2024, 5, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("9999-12-31T23:59:59+23:59", datetime(9999, 12, 31, 0, 0, 59, tzinfo=UTC)),
    ],
)
def test_time_with_zone_becomes_utc(text: str, time: datetime) -> None:
    parsed = parse(Dated, text)
    assert (parsed, parsed.utcoffset()) == (time, timedelta(0))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2024-05-01T10:00:00", BreachCode.NO_TIME_ZONE),
        ("2024-05-01 10:00", BreachCode.NO_TIME_ZONE),
        ("2024-05-01", BreachCode.NOT_A_TIME),
        ("yesterday", BreachCode.NOT_A_TIME),
        ("20240501T100000Z", BreachCode.NOT_A_TIME),
        ("2024-05-01T10:00:00z", BreachCode.NOT_A_TIME),
        ("2024-05-01T10:00:00Z ", BreachCode.NOT_A_TIME),
        ("2024-05-01T10:00:00Z\n", BreachCode.NOT_A_TIME),
        ("２０２４-05-01T10:00:00Z", BreachCode.NOT_A_TIME),
        ("2024-05-01T10:00:00+01:60", BreachCode.NOT_A_TIME),  # datetime.fromisoformat reads it as +02:00
        ("2024-05-01T10:00:00,5Z", BreachCode.NOT_A_TIME),
        ("2024-05-01T10:00:00.1234567890Z", BreachCode.NOT_A_TIME),
        (Number("1714557600"), BreachCode.NOT_A_TIME),
        (True, BreachCode.NOT_A_TIME),
        ("2023-02-29T00:00:00Z", BreachCode.OUT_OF_RANGE),
        ("2024-05-01T24:00:00Z", BreachCode.OUT_OF_RANGE),
        ("2024-06-30T23:59:60Z", BreachCode.OUT_OF_RANGE),
        ("2024-05-01T10:00:00+24:00", BreachCode.OUT_OF_RANGE),
        ("0000-01-01T00:00:00Z", BreachCode.OUT_OF_RANGE),
        ("9999-12-31T23:59:59-00:01", BreachCode.OUT_OF_RANGE),
        ("0001-01-01T00:00:00+00:01", BreachCode.OUT_OF_RANGE),
        ("", BreachCode.BLANK),
        (None, BreachCode.MISSING),
    ],
)
def test_nothing_else_is_accepted_as_a_time(value: Any, code: BreachCode) -> None:
    assert find_code(Dated, value) == code


# Contracts


def test_missing_and_blank_are_different_breaches() -> None:
    judged = [Named.judge({}), Named.judge({"text": None}), Named.judge({"text": ""})]
    codes = [breach.code for breach in judged if isinstance(breach, Breach)]
    assert codes == [BreachCode.MISSING, BreachCode.MISSING, BreachCode.BLANK]


def test_nested_contract_gives_values_by_path() -> None:
    judged = Shelf.judge({"offer": make_offer(), "color": "red"})
    assert judged == {
        "offer.sku": "A1",
        "offer.price.price": Decimal("9.50"),
        "offer.at": datetime(2024, 5, 1, 10, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("offer", "column", "code"),
    [
        (None, "offer", BreachCode.MISSING),
        ("A1", "offer", BreachCode.NOT_AN_OBJECT),
        ([make_offer()], "offer", BreachCode.NOT_AN_OBJECT),
        (Number("1"), "offer", BreachCode.NOT_AN_OBJECT),
        ({}, "offer.sku", BreachCode.MISSING),
        (make_offer(price=None), "offer.price", BreachCode.MISSING),
        (make_offer(price=Number("9.50")), "offer.price", BreachCode.NOT_AN_OBJECT),
        (make_offer(price={}), "offer.price.price", BreachCode.MISSING),
        (make_offer(price={"price": "free"}), "offer.price.price", BreachCode.NOT_A_NUMBER),
        (make_offer(at="2024-05-01T10:00:00"), "offer.at", BreachCode.NO_TIME_ZONE),
    ],
)
def test_breach_names_the_whole_path_of_its_column(offer: Any, column: str, code: BreachCode) -> None:
    judged = Shelf.judge({"offer": offer})
    assert isinstance(judged, Breach)
    assert (judged.column, judged.code, judged.message.split(" ")[0]) == (column, code, column)


def test_first_breach_in_the_order_of_the_contract_is_reported() -> None:
    judged = Offer.judge({"at": "never", "price": {"price": "free"}, "sku": " "})
    assert isinstance(judged, Breach)
    assert judged.column == "sku"


def test_message_shows_only_the_beginning_of_a_long_value() -> None:
    judged = Priced.judge({"price": "x" * 100_000})
    assert isinstance(judged, Breach)
    assert len(judged.message) < 200


def test_contract_describes_itself_by_path_in_its_order() -> None:
    assert list(Shelf.describe().items()) == [
        ("offer.sku", "non_blank"),
        ("offer.price.price", "positive_decimal"),
        ("offer.at", "zoned_time"),
    ]


def test_contract_inherits_the_fields_of_its_base() -> None:
    class Sized(Named):
        size: PositiveInt

    assert list(Sized.fields) == ["text", "size"]


def test_contract_with_a_lax_type_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"Lax\.price"):
        type("Lax", (Contract,), {"__annotations__": {"price": float}})


def test_field_that_would_be_silently_ignored_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"Odd\.fields"):
        type("Odd", (Contract,), {"__annotations__": {"fields": NonBlank}})


# Sources


def test_mapping_finds_fields_by_path_and_lowers_them() -> None:
    time = datetime(2024, 5, 1, 10, tzinfo=UTC)
    expected = UnifiedFields("ÄB1", "äb1", None, Decimal("9.50"), None, time)
    assert Shop().judge(make_offer(sku="ÄB1")) == expected


def test_padding_does_not_change_a_whole_number_id() -> None:
    unified = [Counting().judge({"count": text}) for text in ("007", "7", Number("7"))]
    assert unified == [UnifiedFields("7", "7")] * 3


def test_record_that_violates_its_contract_is_not_unified() -> None:
    class Untouched(Shop):
        def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
            raise AssertionError("unify() must get parsed values only")

    judged = Untouched().judge(make_offer(sku=""))
    assert isinstance(judged, Breach)


def test_source_can_refuse_a_record() -> None:
    breach = Breach(BreachCode.OUT_OF_RANGE, "sku is unknown", "sku")

    class Choosy(Shop):
        def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
            return breach

    assert Choosy().judge(make_offer()) is breach


@pytest.mark.parametrize("target", sorted(TEXT_LIMITS))
def test_text_fits_up_to_its_limit_and_no_further(target: str) -> None:
    class Mapped(Source):
        contract = Offer
        unified = {"external_id": "at", "name": "at"} | {target: "sku"}

        def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
            return super().unify({path: value if path == "sku" else "x" for path, value in values.items()})

    limit = TEXT_LIMITS[target]
    fitting, long = (Mapped().judge(make_offer(sku="é" * length)) for length in (limit, limit + 1))
    assert isinstance(fitting, UnifiedFields)
    assert isinstance(long, Breach)
    assert long.code == BreachCode.TOO_LONG


def test_text_that_is_too_long_is_named_as_the_record_names_it() -> None:
    class Folded(Source):
        contract = Shelf
        unified = {"external_id": "offer.sku", "name": "offer.sku", "category": lower("offer.sku")}

    judged = Folded().judge({"offer": make_offer(sku="İ" * 200)})  # in lower case it has 400 characters
    assert isinstance(judged, Breach)
    assert (judged.code, judged.column) == (BreachCode.TOO_LONG, "offer.sku")


class Renamed(Shop):
    name = "shop_by_another_name"


class OtherContract(Shop):
    contract: ClassVar[type[Contract]] = Shelf


class OtherType(Shop):
    class Loose(Contract):
        sku: PositiveInt
        price: Priced
        at: ZonedTime

    contract: ClassVar[type[Contract]] = Loose


class OtherMapping(Shop):
    unified = Shop.unified | {"category": "sku"}


class NotLowered(Shop):
    unified = Shop.unified | {"name": "sku"}


class NextVersion(Shop):
    version = 2


class Untimed(Shop):
    unified = {target: path for target, path in Shop.unified.items() if target != "event_timestamp"}


@pytest.mark.parametrize("changed", [OtherContract, OtherType, OtherMapping, NotLowered, NextVersion, Untimed])
def test_digest_changes_with_contract_mapping_and_version(changed: type[Source]) -> None:
    assert changed().digest() != Shop().digest()


def test_digest_does_not_depend_on_the_name_of_a_source() -> None:
    assert Renamed().digest() == Shop().digest()


@pytest.mark.parametrize(
    ("changed", "is_same"), [(OtherMapping, True), (OtherContract, True), (NextVersion, False), (Untimed, False)]
)
def test_times_are_comparable_while_their_mapping_stays_the_same(changed: type[Source], is_same: bool) -> None:
    assert (changed().time_digest() == Shop().time_digest()) is is_same
