"""Records judged column by column are accepted, refused and written as if they had been judged one by one."""

import random
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.judgement import Judge, tabulate
from etl.readers.mapping import Mapped
from etl.readers.single_records import RecordSlice
from etl.readers.source import Source
from etl.records import Chunk, Judged, Record
from etl.sources import Contract, NonBlank, PositiveDecimal, PositiveInt, Text, ZonedTime, constant, lower


class Price(Contract):
    amount: PositiveDecimal
    currency: Text | None


class Offer(Contract):
    number: PositiveInt
    title: NonBlank
    group: NonBlank | None
    price: Price | None
    at: ZonedTime | None


class Offers(Source):
    name = "offers"
    contract = Offer
    unified: ClassVar[dict[str, Mapped]] = {
        "external_id": "number",
        "name": "title",
        "category": lower("group"),
        "value": "price.amount",
        "currency": "price.currency",
        "event_timestamp": "at",
    }


class Pairs(Offers):
    unified: ClassVar[dict[str, Mapped]] = Offers.unified | {
        "external_id": ("title", lower("group"), "price.amount", "at"),
        "currency": constant("GBP"),
    }


_TEXTS = st.sampled_from(
    ["", " ", "Desk", "a\tb", "a\\b", r"\N", "c\r\nd", "Ünïcode", "x\x00", "\ud800", "y" * 1001, "a|b"]
)
_NUMBERS = st.sampled_from([Number("1"), Number("1.50"), Number("-1"), "7", "007", "1e2", "1" * 300, None, True])
_TIMES = st.sampled_from([None, "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.5+02:00", "2024-05-01", 5])
_PRICES = st.none() | st.fixed_dictionaries({"amount": _NUMBERS}, optional={"currency": _TEXTS | st.none()})
_OFFERS = st.fixed_dictionaries(
    {"number": _NUMBERS, "title": _TEXTS | st.just("Desk")},
    optional={"group": _TEXTS | st.none(), "price": _PRICES | st.just("dear"), "at": _TIMES, "more": _TEXTS},
)


def make_records(offers: list[dict[str, Any]]) -> list[Record]:
    return [
        Record(number, number + 1, offer, f'{{"offer":"{number}\\n"}}', b"bytes")
        for number, offer in enumerate(offers, start=1)
    ]


def judge_columns(source: Source, records: list[Record], sizes: list[int]) -> Judged:
    slices, rest = [], records
    for size in [*sizes, len(records)]:
        slices.append(RecordSlice(rest[:size]))
        rest = rest[size:]
    return Judge(source).judge_chunk(Chunk(slices))


@given(
    st.sampled_from([Offers(), Pairs()]),
    st.lists(_OFFERS, max_size=12),
    st.lists(st.integers(0, 5), max_size=3),
    st.randoms(),
    st.sampled_from([0.2, 1]),
)
def test_columns_give_what_records_give(
    source: Source, offers: list[dict[str, Any]], sizes: list[int], chance: random.Random, share: float
) -> None:
    records = make_records(offers)
    columns, alone = judge_columns(source, records, sizes), tabulate(Judge(source).judge(records))
    rows = [row for row in range(len(alone)) if chance.random() < share]
    assert columns.lines.write(rows) == alone.lines.write(rows)
    columns.lines = alone.lines
    assert columns == alone
