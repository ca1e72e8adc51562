"""Laws of each record's outcome (laws 5 and 6), for any batch size and wherever a read is interrupted.

`Shelf` stands for the tables: it keeps the rows that a batch writes, and gives the next batch the stored ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl.change_detection import Batch, Stored, Version, classify
from etl.contracts.contract import Contract
from etl.contracts.field_type import Number
from etl.hashes import hash_contents
from etl.judgement import Judge, tabulate
from etl.readers.canonical import encode_canonically
from etl.readers.source import Source
from etl.records import Accepted, Breach, Counters, Original, Record, Refusal, UnifiedFields
from etl.sources import NonBlank, ZonedTime, lower
from etl.vocabulary import BreachCode

MIDNIGHT = datetime(2024, 5, 1, tzinfo=UTC)


class Thing(Contract):
    id: NonBlank
    name: NonBlank


class TimedThing(Thing):
    at: ZonedTime


class Things(Source):
    name = "things"
    contract = Thing
    unified = {"external_id": "id", "name": "name"}


class TimedThings(Source):
    name = "timed_things"
    contract = TimedThing
    unified = {"external_id": "id", "name": "name", "event_timestamp": "at"}


class SometimesTimed(Source):
    """A source of which only some records carry a time, by its own code."""

    name = "sometimes_timed"
    contract = Thing

    def unify(self, values: Any) -> UnifiedFields | Breach:
        name, _, hour = values["name"].partition("@")
        return UnifiedFields(values["id"], name, event_timestamp=at(int(hour)) if hour else None)


def at(hour: int) -> datetime:
    return MIDNIGHT + timedelta(hours=hour)


def make_records(*rows: dict[str, Any]) -> list[Record | Refusal]:
    return [Record(number, number, row, repr(row), repr(row).encode()) for number, row in enumerate(rows, start=1)]


def make_thing(external_id: str, name: str = "Desk", hour: int | None = None) -> dict[str, Any]:
    """Make a thing; with `hour`, it carries a time."""
    timed = {} if hour is None else {"at": at(hour).isoformat()}
    return {"id": external_id, "name": name} | timed


@dataclass(slots=True)
class Kept:
    """The part of a row of `unified_records` that matters here."""

    id: int
    raw_id: int
    version: Accepted


@dataclass(slots=True)
class Shelf:
    """The stored rows of one source. `met`: those that the open read has written or marked; `found`: their number."""

    source: Source
    rows: dict[str, Kept] = field(default_factory=dict)
    raw: list[Accepted] = field(default_factory=list)
    met: set[int] = field(default_factory=set)
    found: int = 0

    def read(self, items: Sequence[Record | Refusal], batch_size: int = 1000) -> Counters:
        """Do one read. Returns the sum of its batches' counters."""
        self.met, self.found = set(), 0
        batches = [self.land(items[start : start + batch_size]) for start in range(0, len(items), batch_size)]
        counted = [asdict(batch.counters) for batch in batches]
        return Counters(**{name: sum(counters[name] for counters in counted) for name in asdict(Counters())})

    def land(self, items: Iterable[Record | Refusal]) -> Batch:
        judged = Judge(self.source).judge(items)
        accepted = [item for item in judged if isinstance(item, Accepted)]
        batch = classify(tabulate(judged), Stored(self._find_stored(accepted)))
        raw_ids = range(len(self.raw), len(self.raw) + len(batch.versions))
        for external_id, place in batch.inserts.items():
            assert external_id not in self.rows
            self._keep(external_id, len(self.rows) + 1, raw_ids[place], accepted[batch.versions[place]])
        external_ids = {row.id: external_id for external_id, row in self.rows.items()}
        for row_id, place in batch.updates.items():
            self._keep(external_ids[row_id], row_id, raw_ids[place], accepted[batch.versions[place]])
        for row_id, (index, raw_id) in batch.rewrites.items():
            self._keep(external_ids[row_id], row_id, raw_id, accepted[index])
        self.met.update(batch.met)
        self.raw += [accepted[index] for index in batch.versions]
        self.found += batch.found
        return batch

    def _find_stored(self, accepted: Iterable[Accepted]) -> dict[str, Version]:
        wanted = {item.unified.external_id for item in accepted}
        digest = self.source.time_digest()
        return {
            external_id: Version(
                row.id,
                row.raw_id,
                row.version.content_hash,
                row.version.values_hash,
                row.version.unified.event_timestamp if row.version.values_hash.endswith(digest) else None,
                is_met=row.id in self.met,
            )
            for external_id, row in self.rows.items()
            if external_id in wanted
        }

    def _keep(self, external_id: str, row_id: int, raw_id: int, version: Accepted) -> None:
        self.rows[external_id] = Kept(row_id, raw_id, version)
        self.met.add(row_id)

    def describe(self) -> dict[str, Any]:
        """Return the content that counts, by external id."""
        return {external_id: row.version.record.values for external_id, row in self.rows.items()}


def read_rows(shelf: Shelf, *rows: dict[str, Any]) -> dict[str, int]:
    """Do one read of these rows. Returns the counters that are not zero."""
    return {name: count for name, count in asdict(shelf.read(make_records(*rows))).items() if count}


# One read


def test_record_not_stored_before_is_new() -> None:
    assert read_rows(Shelf(Things()), make_thing("A"), make_thing("B")) == {"new": 2}


def test_same_content_again_is_unchanged_and_writes_nothing() -> None:
    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A"))
    shelf.met = set()
    batch = shelf.land(make_records(make_thing("A")))
    assert (batch.counters, batch.versions, batch.inserts, batch.updates) == (Counters(unchanged=1), [], {}, {})
    assert batch.met == [1]


def test_other_content_is_updated() -> None:
    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A"), make_thing("B"))
    assert read_rows(shelf, make_thing("A"), make_thing("B", "Lamp")) == {"unchanged": 1, "updated": 1}
    assert shelf.describe() == {"A": make_thing("A"), "B": make_thing("B", "Lamp")}


def test_first_record_of_a_read_counts_and_later_ones_are_duplicates() -> None:
    shelf = Shelf(Things())
    counters = read_rows(shelf, make_thing("A", "Desk"), make_thing("A", "Lamp"), make_thing("A", "Desk"))
    assert (counters, shelf.describe()) == ({"new": 1, "duplicate": 2}, {"A": make_thing("A", "Desk")})


def test_first_record_of_a_later_read_counts_too() -> None:
    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A", "Desk"))
    counters = read_rows(shelf, make_thing("A", "Lamp"), make_thing("A", "Desk"))
    assert (counters, shelf.describe()) == ({"updated": 1, "duplicate": 1}, {"A": make_thing("A", "Lamp")})


def test_record_after_an_unchanged_one_is_a_duplicate() -> None:
    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A", "Desk"))
    assert read_rows(shelf, make_thing("A", "Desk"), make_thing("A", "Lamp")) == {"unchanged": 1, "duplicate": 1}


def test_refused_record_does_not_make_the_next_one_a_duplicate() -> None:
    counters = read_rows(Shelf(Things()), make_thing("A", " "), make_thing("A", "Desk"), make_thing("A", " "))
    assert counters == {"new": 1, "quarantined": 2}


def test_refused_records_keep_their_place_and_their_original() -> None:
    refusal = Refusal(3, 9, Breach(BreachCode.MALFORMED, "is not valid JSON"), None, Original.of(b"{"))
    batch = Shelf(Things()).land([Record(2, 7, {"id": "A"}, '{"id":"A"}', b"original"), refusal])
    missing = Breach(BreachCode.MISSING, "name is missing", "name")
    assert batch.judged.refusals == [Refusal(2, 7, missing, '{"id":"A"}', Original.of(b"original"), "A"), refusal]


def test_versions_are_in_the_order_of_the_read() -> None:
    shelf = Shelf(TimedThings())
    batch = shelf.land(make_records(make_thing("B", hour=1), make_thing("A", hour=1), make_thing("B", hour=2)))
    assert [version.record.position for version in shelf.raw] == [1, 2, 3]
    assert batch.inserts == {"B": 2, "A": 1}


# Times


def test_newest_record_counts_and_each_version_has_its_raw_row() -> None:
    shelf = Shelf(TimedThings())
    counters = read_rows(shelf, make_thing("A", hour=1), make_thing("A", hour=3), make_thing("A", hour=2))
    assert (counters, shelf.describe()) == ({"new": 1, "updated": 1, "duplicate": 1}, {"A": make_thing("A", hour=3)})
    assert [version.record.position for version in shelf.raw] == [1, 2]


def test_older_record_than_the_stored_one_is_a_duplicate() -> None:
    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A", hour=2))
    assert read_rows(shelf, make_thing("A", hour=1)) == {"duplicate": 1}


def test_older_record_does_not_make_the_stored_one_a_duplicate() -> None:
    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A", hour=2))
    assert read_rows(shelf, make_thing("A", hour=1), make_thing("A", hour=2)) == {"duplicate": 1, "unchanged": 1}


def test_equal_time_with_other_content_is_a_duplicate_in_the_same_read() -> None:
    counters = read_rows(Shelf(TimedThings()), make_thing("A", "Desk", 1), make_thing("A", "Lamp", 1))
    assert counters == {"new": 1, "duplicate": 1}


def test_equal_time_with_other_content_is_updated_in_a_later_read() -> None:
    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A", "Desk", 1))
    assert read_rows(shelf, make_thing("A", "Lamp", 1)) == {"updated": 1}


def test_newer_record_after_an_unchanged_one_is_updated() -> None:
    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A", hour=1))
    assert read_rows(shelf, make_thing("A", hour=1), make_thing("A", hour=2)) == {"unchanged": 1, "updated": 1}


def test_times_are_compared_as_instants_and_not_as_strings() -> None:
    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A") | {"at": "2024-05-01T10:00:00+00:00"})
    assert read_rows(shelf, make_thing("A") | {"at": "2024-05-01T11:30:00+02:00"}) == {"duplicate": 1}


def test_a_record_without_a_time_is_older_than_one_with_a_time() -> None:
    shelf = Shelf(SometimesTimed())
    read_rows(shelf, make_thing("A", "Desk"))
    assert read_rows(shelf, make_thing("A", "Desk@5")) == {"updated": 1}


def test_time_from_another_mapping_is_not_compared() -> None:
    class Retimed(TimedThings):
        version = 2

    shelf = Shelf(TimedThings())
    read_rows(shelf, make_thing("A", hour=5))
    shelf.source = Retimed()
    assert read_rows(shelf, make_thing("A", hour=1)) == {"updated": 1}


# Any read

_UNTIMED_ROWS = st.builds(make_thing, st.sampled_from("ABC"), st.sampled_from(["Desk", "Lamp", " "]))
_TIMED_ROWS = st.builds(make_thing, st.sampled_from("AB"), st.sampled_from(["Desk", "Lamp", " "]), st.integers(0, 3))
_SOMETIMES_TIMED_ROWS = st.builds(
    make_thing, st.sampled_from("AB"), st.sampled_from(["Desk", "Lamp", "Desk@0", "Lamp@0", "Desk@1", "Lamp@2"])
)
Reads = tuple[Source, list[dict[str, Any]], list[dict[str, Any]]]
"""A source, the content of an earlier read, and the content of the tested read."""


def make_reads(source: Source, rows: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Reads]:
    return st.tuples(st.just(source), st.lists(rows, max_size=8), st.lists(rows, max_size=8))


_READS = make_reads(Things(), _UNTIMED_ROWS) | make_reads(TimedThings(), _TIMED_ROWS)
_ANY_READS = _READS | make_reads(SometimesTimed(), _SOMETIMES_TIMED_ROWS)


@given(_ANY_READS, st.integers(1, 8))
@example((SometimesTimed(), [], [make_thing("A", "Desk"), make_thing("A", "Lamp@1")]), 1)
def test_totals_and_final_contents_do_not_depend_on_the_batch_size(reads: Reads, batch_size: int) -> None:
    source, *contents = reads
    whole, batched = Shelf(source), Shelf(source)
    for rows in contents:
        records = make_records(*rows)
        assert batched.read(records, batch_size) == whole.read(records)
    assert batched.describe() == whole.describe()
    assert batched.raw == whole.raw


@given(_READS, st.integers(1, 8), st.integers(1, 8))
def test_read_of_the_same_content_again_writes_nothing(reads: Reads, batch_size: int, other_size: int) -> None:
    source, earlier, rows = reads
    shelf = Shelf(source)
    shelf.read(make_records(*earlier), batch_size)
    shelf.read(make_records(*rows), batch_size)
    written = len(shelf.raw)
    counters = shelf.read(make_records(*rows), other_size)
    assert (len(shelf.raw), counters.new, counters.updated) == (written, 0, 0)


@given(_ANY_READS, st.integers(1, 8))
def test_every_record_is_counted_once(reads: Reads, batch_size: int) -> None:
    source, earlier, rows = reads
    shelf = Shelf(source)
    shelf.read(make_records(*earlier))
    before = len(shelf.raw), len(shelf.rows)
    counters = shelf.read(make_records(*rows), batch_size)
    assert counters.seen == len(rows)
    assert (len(shelf.raw) - before[0], len(shelf.rows) - before[1]) == (counters.new + counters.updated, counters.new)
    assert counters.quarantined == sum(row["name"] == " " for row in rows)


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 20)), unique=True, max_size=12).flatmap(
        lambda things: st.tuples(st.permutations(things), st.permutations(things))
    ),
    st.integers(1, 12),
)
def test_any_order_of_distinct_times_ends_in_the_same_contents(
    orders: tuple[list[tuple[str, int]], list[tuple[str, int]]], batch_size: int
) -> None:
    shelves = []
    for order in orders:
        shelf = Shelf(TimedThings())
        shelf.read(
            make_records(*(make_thing(external_id, f"Thing {hour}", hour) for external_id, hour in order)), batch_size
        )
        shelves.append(shelf.describe())
    newest = {
        external_id: max(hour for other, hour in orders[0] if other == external_id) for external_id, _ in orders[0]
    }
    assert shelves[0] == shelves[1]
    assert shelves[0] == {key: make_thing(key, f"Thing {hour}", hour) for key, hour in newest.items()}


@given(_ANY_READS, st.integers(0, 8), st.integers(1, 4))
def test_read_interrupted_by_a_crash_ends_like_the_read_in_one_go(reads: Reads, cut: int, batch_size: int) -> None:
    source, earlier, rows = reads
    whole, resumed = Shelf(source), Shelf(source)
    for shelf in (whole, resumed):
        shelf.read(make_records(*earlier))
        shelf.met = set()
    records = make_records(*rows)
    whole.land(records)
    resumed.land(records[:cut])  # after the crash, the marks are still there, and batches may have another size
    for start in range(cut, len(records), batch_size):
        resumed.land(records[start : start + batch_size])
    assert (resumed.describe(), resumed.raw) == (whole.describe(), whole.raw)


# The hash of the content


def hash_sent(values: dict[str, Any]) -> str:
    return hash_contents([encode_canonically(values)])[0]


def test_order_of_keys_does_not_matter() -> None:
    assert hash_sent({"a": "1", "b": {"c": "2", "d": "3"}}) == hash_sent({"b": {"d": "3", "c": "2"}, "a": "1"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Number("1"), "1"),
        (Number("1"), Number("1.0")),
        (Number("1e3"), Number("1000")),
        (Number("1"), True),
        (None, "null"),
        (None, ""),
        ("a", "A"),
        ("a", " a"),
        ("é", "e\u0301"),
        (["1", "2"], ["2", "1"]),
        ([], {}),
        ([["1"], "2"], ["1", ["2"]]),
        ("\ud800", "\ud801"),
    ],
)
def test_values_that_were_sent_differently_have_different_hashes(one: Any, other: Any) -> None:
    assert hash_sent({"a": one}) != hash_sent({"a": other})


def test_missing_field_differs_from_an_empty_one() -> None:
    assert (
        len(
            {
                hash_sent({}),
                hash_sent({"a": None}),
                hash_sent({"a": ""}),
                hash_sent({"b": ""}),
            }
        )
        == 4
    )


def test_field_that_the_contract_does_not_name_is_part_of_the_hash() -> None:
    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A") | {"color": "red"})
    assert read_rows(shelf, make_thing("A") | {"color": "blue"}) == {"updated": 1}


def test_corrected_mapping_lands_with_the_next_read() -> None:
    class Lowered(Things):
        unified = {"external_id": "id", "name": lower("name")}

    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A", "Desk"))
    shelf.source = Lowered()
    assert read_rows(shelf, make_thing("A", "Desk")) == {"updated": 1}
    assert shelf.rows["A"].version.unified.name == "desk"
    assert read_rows(shelf, make_thing("A", "Desk")) == {"unchanged": 1}


def test_corrected_mapping_writes_no_raw_record_and_counts_the_record_as_met() -> None:
    class Lowered(Things):
        unified = {"external_id": "id", "name": lower("name")}

    shelf = Shelf(Things())
    read_rows(shelf, make_thing("A", "Desk"), make_thing("B", "lamp"))
    shelf.source = Lowered()
    counters = read_rows(shelf, make_thing("A", "Desk"), make_thing("B", "lamp"), make_thing("A", "Lamp"))
    assert counters == {"updated": 1, "unchanged": 1, "duplicate": 1}
    assert (len(shelf.raw), shelf.rows["A"].raw_id, shelf.found) == (2, 0, 2)


def test_contract_with_another_field_writes_nothing() -> None:
    class Described(Thing):
        color: NonBlank

    class DescribedThings(Things):
        contract = Described
        version = 2

    rows = [make_thing("A") | {"color": "red"}, make_thing("B") | {"color": "blue"}]
    shelf = Shelf(Things())
    read_rows(shelf, *rows)
    shelf.source = DescribedThings()
    assert read_rows(shelf, *rows) == {"unchanged": 2}


def test_place_of_a_record_is_not_part_of_its_content() -> None:
    (record,) = make_records(make_thing("A"))
    assert isinstance(record, Record)
    moved = replace(record, position=7, line=9, payload=" " + record.payload)
    first, second = Judge(Things()).judge([record, moved])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.content_hash == second.content_hash


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.integers(0, 99).map(lambda number: Number(str(number))),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("ab", max_size=2), children, max_size=3),
    max_leaves=5,
)
_RECORDS = st.dictionaries(st.text("ab", max_size=2), _JSON, max_size=3)


@given(_RECORDS, _RECORDS)
def test_hashes_are_equal_exactly_if_contents_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (hash_sent(one) == hash_sent(other)) == (one == other)
