"""Shapes and their differences: which differences are drift, and that neither order nor batches matter."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.drift import (
    _LEXICAL,
    MAX_DEPTH,
    MAX_PATH_CHARACTERS,
    MAX_PATHS,
    Change,
    Field,
    Shape,
    Snapshot,
    Tally,
    compare,
    describe_changes,
    find_maps,
)
from etl.sources import Contract, Decimal, Json, Text, field
from etl.vocabulary import ChangeKind


def read_cells(*columns: list[str]) -> Shape:
    """Return the shape of a CSV file with the columns a, b, …"""
    return see([dict(zip("abcdefgh", row, strict=False)) for row in zip(*columns, strict=True)], is_lexical=True)


def see(records: list[dict[str, Any]], *, is_lexical: bool = False, batch_size: int = 1000) -> Shape:
    shape = Shape()
    for start in range(0, len(records), batch_size):
        shape = shape.observe(records[start : start + batch_size], is_lexical=is_lexical)
    return shape


def snap(shape: Shape, former: Snapshot | None = None) -> Snapshot:
    return compare(shape, former)[0]


def find_changes(before: Shape, after: Shape) -> list[Change]:
    return compare(after, snap(before))[1]


def type_cells(*cells: str) -> str:
    return snap(read_cells(list(cells))).fields["a"].type


def type_values(*values: Any) -> str:
    return snap(see([{"a": value} for value in values])).fields["a"].type


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "007"], "integer"),
        (["1", "2.5", "1e9", "3.25"], "decimal"),
        (["true", "False", "TRUE"], "boolean"),
        (["2026-01-01", "2026-01-01T10:00:00Z", "2026-01-01 10:00:00.5+01:00"], "time"),
        (["a", "b", "c"], "text"),
        (["1", "b", "2", "d"], "text"),
        (["1", "2026-01-01", "2", "2026-01-02"], "text"),
        (["1.", ".5", "+1", "1,5", "١"], "text"),
        (["١", "٢"], "text"),
        (["", " ", "\t"], "null"),
        (["", "", "7"], "integer"),
        (["", "", "x"], "text"),
    ],
)
def test_a_column_has_the_narrowest_type_of_its_cells(cells: list[str], expected: str) -> None:
    assert type_cells(*cells) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "x"], "text"),
        ([Number("1"), Number("2.5"), Number("1e9")], "number"),
        ([True, False, True], "boolean"),
        ([{}, {"b": "x"}, {}], "object"),
        ([[], ["x"], []], "array"),
        ([None, None, None], "null"),
        (["1", Number("1"), "2", Number("2")], "mixed"),
        (["true", True, "false", False], "mixed"),
        ([None, None, "x"], "text"),
    ],
)
def test_a_json_field_has_the_type_of_its_values(values: list[Any], expected: str) -> None:
    assert type_values(*values) == expected


def test_paths_go_into_objects_and_arrays() -> None:
    shape = see([{"price": {"amount": Number("1")}, "tags": [{"name": "x"}, {"name": "y"}], "grid": [["1"]]}])
    assert list(shape.tallies) == [
        "price",
        "price.amount",
        "tags",
        "tags[]",
        "tags[].name",
        "grid",
        "grid[]",
        "grid[][]",
    ]


def test_two_fields_never_share_a_path() -> None:
    odd = [
        {"a.b": "1", "a": {"b": "1"}, "c": ["x"], "c[]": "x", '"': "x", "\\": "x", "": "x", "\x00": "x", "\ud800": ""}
    ]
    paths = list(see(odd).tallies)
    assert len(paths) == len(set(paths)) == 11
    assert all(path.isprintable() and path.encode() for path in paths)


def test_a_record_counts_once_for_any_length_of_its_arrays() -> None:
    shape = see([{"tags": ["x"]}] * 99 + [{"tags": [Number("1")] * 1000}])
    assert shape.tallies["tags[]"].present == 100
    assert shape.tallies["tags[]"].types == {"text": 99, "number": 1}
    assert snap(shape).fields["tags[]"] == Field("text", is_nullable=False, is_optional=False)


def test_the_first_read_has_no_changes() -> None:
    snapshot, changes = compare(read_cells(["1"], ["x"]), None)
    assert (list(snapshot.fields), changes) == (["a", "b"], [])


def test_a_new_column_is_added() -> None:
    before, after = read_cells(["1"] * 5), read_cells(["1"] * 5, ["x"] * 5)
    assert find_changes(before, after) == [Change("b", ChangeKind.ADDED, after="text, never null")]


def test_a_column_that_no_record_has_is_removed() -> None:
    before, after = read_cells(["1"] * 5, ["x"] * 5), read_cells(["1"] * 5)
    assert find_changes(before, after) == [Change("b", ChangeKind.REMOVED, before="text, never null")]


def test_a_renamed_column_is_removed_and_added() -> None:
    before, after = see([{"size": "1"}] * 3), see([{"length": "1"}] * 3)
    assert [(change.path, change.kind) for change in find_changes(before, after)] == [
        ("length", "added"),
        ("size", "removed"),
    ]


def test_another_type_is_reported_with_both_types() -> None:
    before, after = read_cells(["1"] * 5), read_cells(["n/a"] * 5)
    assert find_changes(before, after) == [Change("a", ChangeKind.TYPE, "integer", "text")]


def test_a_wider_number_is_another_type() -> None:
    assert find_changes(read_cells(["1"] * 5), read_cells(["1.5"] * 5)) == [
        Change("a", ChangeKind.TYPE, "integer", "decimal")
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [(["1.5"] * 5, ["1"] * 5), (["x"] * 5, ["1"] * 5), (["x"] * 5, ["2026-01-01"] * 5), (["1"] * 5, ["007"] * 5)],
)
def test_a_narrower_type_is_not_drift_and_the_wider_one_is_kept(before: list[str], after: list[str]) -> None:
    former = snap(read_cells(before))
    snapshot, changes = compare(read_cells(after), former)
    assert changes == []
    assert snapshot.fields == former.fields


def test_a_mixed_field_stays_mixed() -> None:
    former = snap(see([{"a": "x"}, {"a": Number("1")}] * 3))
    assert compare(see([{"a": "x"}] * 6), former) == (former, [])


@pytest.mark.parametrize(
    ("bad", "good", "is_drift"), [(1, 2, False), (1, 30, False), (2, 30, True), (5, 95, False), (6, 94, True)]
)
def test_one_bad_row_among_many_is_not_drift(bad: int, good: int, is_drift: bool) -> None:
    before = read_cells(["1"] * 100, ["x"] * 100)
    after = read_cells(["1"] * good + ["x"] * bad, ["x"] * good + [""] * bad)
    assert [(change.path, change.kind) for change in find_changes(before, after)] == (
        [("a", "type"), ("b", "nullability")] if is_drift else []
    )


def test_among_few_rows_no_bad_row_is_tolerated() -> None:
    assert len(find_changes(read_cells(["1"]), read_cells(["x"]))) == 1
    assert len(find_changes(read_cells(["1"]), read_cells(["1", ""]))) == 1


def test_a_sparse_column_is_judged_by_its_values() -> None:
    before = read_cells(["1"] * 10 + [""] * 990)
    assert find_changes(before, read_cells(["x"] * 10 + [""] * 990)) == [
        Change("a", ChangeKind.TYPE, "integer", "text")
    ]
    assert find_changes(before, read_cells(["x"] + [""] * 999)) == []


def test_a_column_that_gets_its_first_values_has_another_type() -> None:
    before = read_cells([""] * 100)
    assert find_changes(before, read_cells([""] * 99 + ["x"])) == []
    assert [(c.kind, c.after) for c in find_changes(before, read_cells([""] * 90 + ["x"] * 10))] == [("type", "text")]


def test_a_column_without_any_value_keeps_its_type() -> None:
    assert find_changes(read_cells(["1"] * 5), read_cells([""] * 5)) == [
        Change("a", ChangeKind.NULLABILITY, "never null", "sometimes null")
    ]


def test_a_field_that_one_record_has_is_not_added_and_not_removed_later() -> None:
    before, odd = see([{"a": "1"}] * 50), see([{"a": "1"}] * 49 + [{"a": "1", "b": "x"}])
    assert find_changes(before, odd) == []
    assert find_changes(odd, before) == []


def test_a_field_of_two_records_is_added_as_one_that_is_sometimes_absent() -> None:
    before, after = see([{"a": "1"}] * 50), see([{"a": "1"}] * 48 + [{"a": "1", "b": "x"}] * 2)
    assert find_changes(before, after) == [Change("b", ChangeKind.ADDED, after="text, sometimes absent")]


def test_a_field_that_one_record_still_has_is_not_removed() -> None:
    before, after = see([{"a": "1", "b": "x"}] * 50), see([{"a": "1"}] * 49 + [{"a": "1", "b": "x"}])
    assert find_changes(before, after) == [Change("b", ChangeKind.NULLABILITY, "never null", "sometimes absent")]


@pytest.mark.parametrize("gap", [{"b": None}, {}], ids=["null", "absent"])
def test_nullability_begins_beyond_the_tolerance_and_ends_with_the_last_gap(gap: dict[str, Any]) -> None:
    def see_gaps(count: int) -> Shape:
        return see([{"a": "1", "b": "x"}] * (100 - count) + [{"a": "1", **gap}] * count)

    told = []
    snapshot = None
    for count in (0, 5, 6, 1, 5, 0, 5):
        snapshot, changes = compare(see_gaps(count), snapshot)
        told.append([change.kind for change in changes])
    assert told == [[], [], ["nullability"], [], [], ["nullability"], []]


def test_presence_is_judged_within_the_parent_object() -> None:
    records = [{"price": {"amount": "1"}}] * 5 + [{"price": None}] * 5
    assert snap(see(records)).fields["price.amount"] == Field("text", is_nullable=False, is_optional=False)


def test_fields_are_not_removed_if_their_parent_is_null_throughout() -> None:
    before = see([{"price": {"amount": {"of": "1"}}, "tags": ["x"]}] * 5)
    after = see([{"price": None, "tags": []}] * 5)
    assert [(change.path, change.kind) for change in find_changes(before, after)] == [("price", "nullability")]
    assert snap(after, snap(before)).fields.keys() == snap(before).fields.keys()


def test_a_field_of_an_object_is_removed_if_the_object_stays() -> None:
    before = see([{"price": {"amount": "1", "net": "1"}}] * 5)
    assert [(c.path, c.kind) for c in find_changes(before, see([{"price": {"amount": "1"}}] * 5))] == [
        ("price.net", "removed")
    ]


@pytest.mark.parametrize("after", [{}, {"price": "1"}], ids=["gone", "another type"])
def test_fields_are_removed_with_their_object(after: dict[str, Any]) -> None:
    before = see([{"id": "1", "price": {"amount": {"of": "1"}}}] * 5)
    removed = [c.path for c in find_changes(before, see([{"id": "1", **after}] * 5)) if c.kind == ChangeKind.REMOVED]
    assert removed == (["price"] if not after else []) + ["price.amount", "price.amount.of"]


def test_paths_are_bounded_and_a_cut_shape_reports_only_certain_changes() -> None:
    known = [f"k{number}" for number in range(MAX_PATHS)]
    whole = see([dict.fromkeys(known, "x")] * 3)
    flood = [{f"new{number}": "x"} for number in range(2 * MAX_PATHS)]
    cut = see([{"k0": "x"}, {"k0": "x"}, *flood, *flood])
    assert (whole.is_cut, cut.is_cut, len(cut.tallies)) == (False, True, MAX_PATHS)
    snapshot, changes = compare(cut, snap(whole))
    assert {change.kind for change in changes} == {"added", "nullability"}
    again = see([*reversed(flood), {"k0": "x"}, {"k0": "x"}, *flood])
    following, changes = compare(again, snapshot)
    assert [change for change in changes if change.kind != ChangeKind.NULLABILITY] == []
    assert len(following.fields) <= 2 * MAX_PATHS


def test_a_path_that_a_cut_shape_left_out_is_not_added_later() -> None:
    flood = [{f"n{number}": "x"} for number in range(2 * MAX_PATHS)]
    cut = see([{"a": "x"}, {"a": "x"}, *flood])
    whole = see([{"a": "x", "b": "x"}] * 5)
    assert [change.path for change in find_changes(cut, whole)] == ["a"]
    assert list(snap(whole, snap(cut)).fields) == ["a", "b"]


def test_a_known_path_is_counted_in_each_record_even_in_a_cut_shape() -> None:
    batches = [[{f"b{batch}f{number}": "x", "a": "1"} for number in range(MAX_PATHS)] for batch in range(3)]
    shape = Shape()
    for batch in batches:
        shape = shape.observe([*reversed(batch)], is_lexical=False)
    assert shape.tallies["a"].present == shape.records == 3 * MAX_PATHS


def test_deep_and_long_paths_are_not_observed() -> None:
    deep: Any = "x"
    for _ in range(3 * MAX_DEPTH):
        deep = {"d": deep}
    shape = see([{"deep": deep, "x" * (MAX_PATH_CHARACTERS + 1): "1", "a": "1"}])
    assert max(path.count(".") + 1 for path in shape.tallies) == MAX_DEPTH
    assert max(map(len, shape.tallies)) <= MAX_PATH_CHARACTERS
    assert not shape.is_cut


def test_the_description_names_the_first_changes_and_counts_the_others() -> None:
    before, after = see([{"a": "1"}] * 3), see([{f"n{number}": "1" for number in range(7)} | {"a": Number("1")}] * 3)
    told = describe_changes(find_changes(before, after))
    assert told.startswith("a type text → number; n0 added (text, never null); n1 ")
    assert told.endswith("; and 3 more")


class Priced(Contract):
    price: Json | None = field(also=["Preis"])


@pytest.mark.parametrize(
    "records", [[{"Preis": {"amount": "1"}}] * 3, [{"Preis": {"amount": Number("1")}, "b": "1"}] * 3]
)
def test_a_field_of_the_contract_that_only_has_another_name_now_is_the_same_field(
    records: list[dict[str, Any]],
) -> None:
    before = snap(see([{"price": {"amount": "1"}}] * 3))
    snapshot, changes = compare(see(records), before, Priced)
    kinds = [(change.path, str(change.kind)) for change in changes]
    others = [("Preis.amount", "type"), ("b", "added")] if "b" in records[0] else []
    assert kinds == [("Preis", "spelling"), *others]
    assert compare(see(records), snapshot, Priced) == (snapshot, [])


def test_a_field_with_two_names_in_one_content_is_not_renamed() -> None:
    before = snap(see([{"price": "1"}] * 3))
    _, changes = compare(see([{"price": "1"}] * 3 + [{"Preis": "1"}] * 3), before, Priced)
    assert {change.kind for change in changes} == {"added", "nullability"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["", "1", "1.5", "x", "2026-01-01"]) | st.builds(Number, st.just("1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab."), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), min_size=1, max_size=12)
CELLS = st.sampled_from(["", "1", "1.5", "x", "true", "2026-01-01"])
ROWS = st.lists(st.fixed_dictionaries({"a": CELLS, "b": CELLS}), min_size=1, max_size=12)
READS = st.tuples(RECORDS, st.just(False)) | st.tuples(ROWS, st.just(True))


@given(READS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_neither_order_nor_batches_change_a_shape(read: tuple[Any, bool], batch_size: int, chance: Any) -> None:
    records, is_lexical = read
    shuffled = records.copy()
    chance.shuffle(shuffled)
    whole = see(records, is_lexical=is_lexical)
    assert see(shuffled, is_lexical=is_lexical, batch_size=batch_size) == whole
    assert compare(see(shuffled, is_lexical=is_lexical), snap(whole))[1] == []


@given(READS, st.integers(0, 12))
def test_a_saved_shape_continues_as_before(read: tuple[Any, bool], cut: int) -> None:
    records, is_lexical = read
    saved = json.loads(json.dumps(see(records[:cut], is_lexical=is_lexical).as_json()))
    resumed = Shape.from_json(saved).observe(records[cut:], is_lexical=is_lexical)
    assert resumed == see(records, is_lexical=is_lexical)


@given(READS, READS)
def test_a_change_is_reported_once(first: tuple[Any, bool], second: tuple[Any, bool]) -> None:
    former = snap(see(first[0], is_lexical=first[1]))
    shape = see(second[0], is_lexical=second[1])
    snapshot = snap(shape, former)
    assert compare(shape, snapshot) == (snapshot, [])


@given(READS, READS)
def test_changes_are_the_differences_between_the_snapshots(first: tuple[Any, bool], second: tuple[Any, bool]) -> None:
    former = snap(see(first[0], is_lexical=first[1]))
    snapshot, changes = compare(see(second[0], is_lexical=second[1]), former)
    paths = former.fields.keys() | snapshot.fields.keys()
    assert {change.path for change in changes} == {
        path for path in paths if former.fields.get(path) != snapshot.fields.get(path)
    }
    assert {(c.path, c.kind) for c in changes if c.kind in ("added", "removed")} == {
        (path, "removed" if path in former.fields else "added")
        for path in former.fields.keys() ^ snapshot.fields.keys()
    }


@given(READS)
def test_a_snapshot_survives_its_table(read: tuple[Any, bool]) -> None:
    snapshot = snap(see(read[0], is_lexical=read[1]))
    assert Snapshot.from_json(json.loads(json.dumps(snapshot.as_json()))) == snapshot


ODD_CELLS = st.sampled_from(
    [
        *("", " ", "\t\n", "\n", "1\n", "\u2028", "\x85", "\x1f", "\ud800", "1\ud800", "x", "Z", "T1", "1x"),
        *("1", "-1", "--1", "-", "+1", "\u0661", "\u00b2", "1\u0661", "0\u00a0", "-0", "007", "1 "),
        *("1.", ".5", "1.5", "1e5", "1E-5", "-1.5e+09", "1e", "1e5.5", "1.5.5", "1,5"),
        *("true", "True", "TRUE", "tRUE", "truer", "fALSE", "false", "FALSE", "true\n", "-true"),
        *("2026-01-01", "2026-1-01", "2026-01-01T10:00", "2026-01-01 10:00:00.5+01:00", "2026-01-01T10:00:00Z\n"),
    ]
)
ODD_COLUMNS = st.lists(ODD_CELLS | st.text(max_size=4) | st.text("0189-+.:eETZ ", max_size=20), min_size=1, max_size=12)


LINES = ODD_CELLS.filter(lambda cell: "\n" not in cell)


@given(ODD_COLUMNS | st.lists(LINES, min_size=1, max_size=12) | LINES.map(lambda cell: [cell] * 12))
def test_a_column_is_counted_as_its_cells_are_one_by_one(cells: list[str]) -> None:
    shape = Shape(is_lexical=True)
    shape.count_columns({"a": cells}, len(cells))
    types = Counter(str(found.lastgroup) for cell in cells if (found := _LEXICAL.match(cell)))
    assert shape.tallies["a"] == Tally(len(cells), types)
    assert 0 not in shape.tallies["a"].types.values()


def test_observing_leaves_the_former_shape_as_it_was() -> None:
    former = see([{"a": "1"}])
    former.observe([{"a": None, "b": "1"}], is_lexical=False)
    assert former == see([{"a": "1"}])


# Maps: objects whose keys are data


def observe_prices(records: Sequence[Mapping[str, Any]]) -> Shape:
    return Shape().observe(records, is_lexical=False, maps=frozenset({"prices"}))


def make_prices(first: int) -> list[dict[str, Any]]:
    """Return records of which each has prices of other days."""
    return [
        {"id": "x", "prices": {f"day_{day}": "1.5", f"day_{day + 1}": "1.5"}} for day in range(first, first + 60, 2)
    ]


def test_the_values_of_a_map_have_one_path() -> None:
    snapshot, _ = compare(observe_prices(make_prices(0)), None)
    assert sorted(snapshot.fields) == ["id", "prices", "prices[*]"]


def test_new_keys_of_a_map_are_no_drift() -> None:
    snapshot, _ = compare(observe_prices(make_prices(0)), None)
    assert compare(observe_prices(make_prices(100)), snapshot) == (snapshot, [])
    assert compare(observe_prices([{"id": "x", "prices": {}}] * 5), snapshot)[1] == []


def test_another_type_in_a_map_is_drift() -> None:
    snapshot, _ = compare(observe_prices(make_prices(0)), None)
    changed = [{"id": "x", "prices": {"day_1": Number("1.5")}}] * 30
    _, changes = compare(observe_prices(changed), snapshot)
    assert [(change.path, change.kind) for change in changes] == [("prices[*]", ChangeKind.TYPE)]


def test_a_contract_that_makes_an_object_a_map_reports_none_of_its_keys_as_removed() -> None:
    snapshot, _ = compare(Shape().observe(make_prices(0)[:1] * 5, is_lexical=False), None)
    assert "prices.day_0" in snapshot.fields
    after, changes = compare(observe_prices(make_prices(0)), snapshot)
    assert sorted(after.fields) == ["id", "prices", "prices[*]"]
    assert [change.path for change in changes] == ["prices[*]"]


def test_a_field_that_is_gone_from_the_objects_of_a_map_is_reported() -> None:
    before, _ = compare(observe_prices([{"prices": {"a": {"x": "1", "y": "2"}}}] * 5), None)
    _, changes = compare(observe_prices([{"prices": {"b": {"x": "1"}}}] * 5), before)
    assert [(change.path, change.kind) for change in changes] == [("prices[*].y", ChangeKind.REMOVED)]


def test_maps_of_a_contract_are_found_with_quoted_names() -> None:
    class Shop(Contract):
        prices: dict[Text, Decimal] = field(column="net.price")

    class All(Contract):
        shops: list[Shop]

    assert find_maps(All) == {'shops[]."net.price"'}
