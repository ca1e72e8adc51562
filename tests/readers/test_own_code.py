"""Law 13: own code can refuse or skip a record, and it can't stop its source. Columns give what records give."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from etl.exceptions import Interrupted, LeaseLost
from etl.judgement import Item, Judge, tabulate
from etl.records import Accepted, Breach, Refusal, Skipped, UnifiedFields
from etl.sources import BreachCode, Contract, CsvSource, FieldType, Form, PositiveDecimal, Text
from tests.factories import hold

HERE = Path(__file__).name
SECRET = "key-12345"


class Thing(Contract):
    sku: Text
    title: Text
    price: PositiveDecimal | None


class Things(CsvSource):
    name = "things"
    path = "things.csv"
    every = timedelta(hours=1)
    contract: ClassVar[type[Contract]] = Thing
    unified = {"external_id": "sku", "name": "title", "value": "price"}


def judge(source: CsvSource, text: str) -> list[Item]:
    """Judge this file record by record, and make sure that judging it by columns gives the same."""
    (chunk,) = source.dialect.open(hold(text.encode()), source).read(None, 100)
    items = Judge(source).judge(chunk.items)
    alone, columns = tabulate(items), Judge(source).judge_chunk(chunk)
    rows = range(len(alone))
    assert columns.lines.write(rows) == alone.lines.write(rows)
    columns.lines = alone.lines
    assert columns == alone
    return items


def show(item: Item) -> str:
    if isinstance(item, Refusal):
        return f"line {item.line}: {item.breach.code}: {item.breach.message}"
    return item.unified.name if isinstance(item, Accepted) else f"line {item.record.line}: skipped"


def make(**members: Any) -> CsvSource:
    made = type("Made", (Things,), members)()
    assert isinstance(made, CsvSource)
    return made


def find_line(word: str) -> int:
    """Return the line of this file that ends with the comment of this word."""
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.endswith(f"# {word}"))


CONTENT = "sku,title,price\nA1,a-b,1\nA2,nodash,2\nA3,c-d,\n"


def split_title(self: CsvSource, values: Mapping[str, Any]) -> UnifiedFields:
    left, _right = values["title"].split("-")  # splits
    return UnifiedFields(values["sku"], left)


def test_an_exception_of_unify_refuses_its_record_and_the_others_land() -> None:
    place = f"{HERE}:{find_line('splits')}"
    assert list(map(show, judge(make(unify=split_title), CONTENT))) == [
        "a",
        f"line 3: raised: unify raised ValueError at {place}",
        "c",
    ]


def test_a_refused_record_keeps_its_id_and_its_text() -> None:
    refusal = judge(make(unify=split_title), CONTENT)[1]
    assert isinstance(refusal, Refusal)
    assert (refusal.external_id, refusal.position, refusal.original.head) == ("A2", 2, b"A2,nodash,2")


def call_library(self: CsvSource, values: Mapping[str, Any]) -> UnifiedFields:
    return UnifiedFields(values["sku"], json.loads(values["title"]))  # calls a library


def test_the_line_is_that_of_own_code_and_not_of_what_it_calls() -> None:
    (item, *_) = judge(make(unify=call_library), CONTENT)
    place = f"{HERE}:{find_line('calls a library')}"
    assert show(item) == f"line 2: raised: unify raised JSONDecodeError at {place}"


def raise_secret(self: CsvSource, values: Mapping[str, Any]) -> UnifiedFields:
    raise RuntimeError(f"{SECRET} {values['title']} {Path(__file__)}")


def test_no_text_of_an_exception_and_no_path_is_shown() -> None:
    (item, *_) = judge(make(unify=raise_secret), CONTENT)
    assert isinstance(item, Refusal)
    for hidden in (SECRET, "a-b", str(Path(__file__).parent)):
        assert hidden not in item.breach.message


def test_own_code_with_the_wrong_parameters_is_named_by_its_definition() -> None:
    (item, *_) = judge(make(unify=lambda self: None), CONTENT)  # takes too few
    assert show(item) == f"line 2: raised: unify raised TypeError at {HERE}:{find_line('takes too few')}"


def make_fields(self: CsvSource, values: Mapping[str, Any], **fields: Any) -> UnifiedFields:
    return UnifiedFields(**{"external_id": values["sku"], "name": "x", **fields})


class _Broken(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise RuntimeError(SECRET)

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> None:
        return None


NAIVE = datetime(2024, 5, 1)  # noqa: DTZ001
EARLY = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (None, BreachCode.BAD_RESULT),
        ({"external_id": "1", "name": "x"}, BreachCode.BAD_RESULT),
        (Breach("mine", "is bad"), BreachCode.BAD_RESULT),  # type: ignore[arg-type]
        (Breach(BreachCode.BLANK, None), BreachCode.BAD_RESULT),  # type: ignore[arg-type]
        (Breach(BreachCode.BLANK, "is blank"), BreachCode.BLANK),
        (UnifiedFields(None, "x"), BreachCode.NOT_TEXT),  # type: ignore[arg-type]
        (UnifiedFields(1, "x"), BreachCode.NOT_TEXT),  # type: ignore[arg-type]
        (UnifiedFields("1", None), BreachCode.NOT_TEXT),  # type: ignore[arg-type]
        (UnifiedFields("1", " "), BreachCode.BLANK),
        (UnifiedFields("1", "a\x00"), BreachCode.NUL_CHARACTER),
        (UnifiedFields("1", "\ud800"), BreachCode.BAD_ENCODING),
        (UnifiedFields("1", "x" * 1001), BreachCode.TOO_LONG),
        (UnifiedFields("1" * 256, "x"), BreachCode.TOO_LONG),
        (UnifiedFields("1", "x", category=5), BreachCode.NOT_TEXT),  # type: ignore[arg-type]
        (UnifiedFields("1", "x", value=1.5), BreachCode.NOT_A_NUMBER),  # type: ignore[arg-type]
        (UnifiedFields("1", "x", value=True), BreachCode.NOT_A_NUMBER),  # type: ignore[arg-type]
        (UnifiedFields("1", "x", value=Decimal("NaN")), BreachCode.NOT_A_NUMBER),
        (UnifiedFields("1", "x", value=Decimal("sNaN")), BreachCode.NOT_A_NUMBER),
        (UnifiedFields("1", "x", value=Decimal("1e20")), BreachCode.OUT_OF_RANGE),
        (UnifiedFields("1", "x", value=Decimal("1e-19")), BreachCode.TOO_PRECISE),
        (UnifiedFields("1", "x", event_timestamp=NAIVE), BreachCode.NO_TIME_ZONE),
        (UnifiedFields("1", "x", event_timestamp=NAIVE.date()), BreachCode.NO_TIME_ZONE),  # type: ignore[arg-type]
        (UnifiedFields("1", "x", event_timestamp=EARLY), BreachCode.OUT_OF_RANGE),
        (UnifiedFields("1", "x", event_timestamp=NAIVE.replace(tzinfo=_Broken())), BreachCode.RAISED),
    ],
)
def test_what_unify_returns_is_checked(result: Any, code: BreachCode) -> None:
    for item in judge(make(unify=lambda self, values: result), CONTENT):
        assert isinstance(item, Refusal)
        assert item.breach.code is code
        assert SECRET not in item.breach.message


def test_what_an_own_judge_raises_or_returns_is_checked_too() -> None:
    def raise_it(self: CsvSource, values: Mapping[str, Any]) -> UnifiedFields:
        return UnifiedFields(values["sku"], {}[values["title"]])

    sources = [make(judge=raise_it), make(judge=lambda self, values: UnifiedFields("1", ""))]
    codes = [item.breach.code for source in sources for item in judge(source, CONTENT) if isinstance(item, Refusal)]
    assert codes == [BreachCode.RAISED] * 3 + [BreachCode.BLANK] * 3


@pytest.mark.parametrize(
    "skips",
    [
        lambda self, values: values["title"] == "nodash",
        lambda self, values: values["price"] == Decimal("2.0"),
        lambda self, values: dict(values) == {"sku": "A2", "title": "nodash", "price": Decimal(2)},
        lambda self, values: values.get("price", 0) == 2 and "price" in values and "cost" not in values,
        lambda self, values: len(values) == 3 and [*values.values()][:2] == ["A2", "nodash"],
    ],
)
def test_records_that_are_not_wanted_are_skipped(skips: Callable[..., bool]) -> None:
    assert list(map(show, judge(make(skips=skips), CONTENT))) == ["a-b", "line 3: skipped", "c-d"]


def test_the_contract_comes_first_and_then_skips_and_then_what_is_stored() -> None:
    content = f"sku,title,price\nA1,a-b,x\n{'A' * 256},b,1\nA2,{'t' * 1001},1\n"
    source = make(skips=lambda self, values: values["title"] == "b")
    assert [type(item) for item in judge(source, content)] == [Refusal, Skipped, Refusal]


def test_a_skipped_record_is_not_unified() -> None:
    source = make(unify=split_title, skips=lambda self, values: values["title"] == "nodash")
    assert list(map(show, judge(source, CONTENT))) == ["a", "line 3: skipped", "c"]


@pytest.mark.parametrize("result", [None, "no", 1])
def test_skips_says_yes_or_no(result: object) -> None:
    (item, *_) = judge(make(skips=lambda self, values: result), CONTENT)
    kind = type(result).__name__
    assert show(item) == f"line 2: bad_result: skips must return True or False, not {kind}"


def test_an_exception_of_skips_refuses_its_record() -> None:
    source = make(skips=lambda self, values: 1 / (values["price"] - 2) > 5 if values["price"] else False)  # divides
    place = f"{HERE}:{find_line('divides')}"
    assert list(map(show, judge(source, CONTENT))) == [
        "a-b",
        f"line 3: raised: skips raised DivisionByZero at {place}",
        "c-d",
    ]


@pytest.mark.parametrize("method", ["unify", "skips", "judge"])
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(), MemoryError(), Interrupted(), LeaseLost("x"), SoftTimeLimitExceeded()]
)
def test_what_ends_the_run_is_not_taken_for_a_refusal(method: str, error: BaseException) -> None:
    def end(self: CsvSource, values: Mapping[str, Any]) -> None:
        raise error

    with pytest.raises(type(error)):
        judge(make(**{method: end}), CONTENT)


def test_a_zoned_time_is_accepted() -> None:
    time = datetime(2024, 5, 1, tzinfo=UTC)
    (item, *_) = judge(make(unify=lambda self, values: make_fields(self, values, event_timestamp=time)), CONTENT)
    assert isinstance(item, Accepted)


class Own(FieldType):
    """A type that does what the value says."""

    name = "own"

    def parse(self, value: Any, form: Form) -> Any:
        results: dict[str, Any] = {
            "none": None,
            "number": 5,
            "blank": " ",
            "nul": "a\x00",
            "surrogate": "\ud800",
            "mine": Breach("mine", "is bad"),  # type: ignore[arg-type]
            "refused": Breach(BreachCode.BLANK, "is refused"),
            "odd": Odd("odd"),
        }
        if value == "raise":
            raise RuntimeError(SECRET)  # raises
        return results.get(value, value)

    def write(self, value: Any) -> str:
        return 7 if isinstance(value, Odd) else str(value)  # type: ignore[return-value]


class Odd(str):
    """A text that the type can't write."""

    __slots__ = ()


class Fast(Own):
    """Its fast form does what the words among the values say."""

    def parse_column(self, column: Any, form: Form) -> Any:
        results: dict[str, Any] = {"short": ([], {}), "junk": None, "numbers": ([1] * len(column), {})}
        for word, result in results.items():
            if word in column:
                return result
        if "fail" in column:
            raise RuntimeError(SECRET)
        return super().parse_column(column, form)


class Sum(FieldType):
    """A number that the value names."""

    name = "sum"

    def parse(self, value: Any, form: Form) -> Any:
        return {"float": 1.5, "int": 5}.get(value) or Decimal(value)


class Moment(FieldType):
    name = "moment"

    def parse(self, value: Any, form: Form) -> Any:
        return value if value == "text" else datetime.fromisoformat(value)


def own_source(kind: FieldType, parsed: Any, target: str, other: str = "sku") -> CsvSource:
    namespace = {"__annotations__": {"sku": Text, "title": Annotated[parsed, kind]}, "__module__": __name__}
    contract = type("OwnThing", (Contract,), namespace)
    return make(contract=contract, unified={"external_id": other, "name": "sku"} | {target: "title"})


def judge_title(source: CsvSource, *titles: str) -> list[str]:
    rows = "".join(f"A{number},{title}\n" for number, title in enumerate(titles))
    items = judge(source, f"sku,title\n{rows}")
    return [show(item).partition(": ")[2] if isinstance(item, Refusal) else "lands" for item in items]


@pytest.mark.parametrize("kind", [Own(), Fast()])
@pytest.mark.parametrize("target", ["name", "category", "unmapped"])
def test_what_an_own_type_raises_or_returns_refuses_its_record(kind: Own, target: str) -> None:
    source = own_source(kind, str, target) if target != "unmapped" else own_source(kind, str, "currency")
    name = type(kind).__name__
    place = f"{HERE}:{find_line('raises')}"
    found = judge_title(source, "raise", "ok", "none", "number", "mine", "refused", "odd", "nul", "surrogate")
    assert found[:7] == [
        f"raised: title can't be parsed: {name} raised RuntimeError at {place}",
        "lands",
        f"bad_result: title can't be parsed: {name} returned NoneType, and not str",
        f"bad_result: title can't be parsed: {name} returned int, and not str",
        f"bad_result: title can't be parsed: {name} returned a Breach without a BreachCode, or without text",
        "blank: title is refused",
        f"bad_result: title can't be parsed: {name} wrote int, and not str",
    ]
    assert [text.partition(":")[0] for text in found[7:]] == ["nul_character", "bad_encoding"]


@pytest.mark.parametrize("word", ["short", "junk", "numbers", "fail"])
def test_an_own_fast_form_that_fails_leaves_it_to_the_plain_one(word: str) -> None:
    assert judge_title(own_source(Fast(), str, "name"), "ok", word, "raise")[:2] == ["lands", "lands"]


@pytest.mark.parametrize("parsed", [Decimal, Any])
def test_a_number_of_an_own_type_is_checked(parsed: Any) -> None:
    texts = ["1.50", "1E+5", "-0", "NaN", "1E+20", "1E-19", "float", "int", "x", "0.10"]
    found = [text.partition(":")[0] for text in judge_title(own_source(Sum(), parsed, "value"), *texts)]
    of_float, of_int = ("bad_result", "bad_result") if parsed is Decimal else ("not_a_number", "lands")
    assert found[:6] == ["lands"] * 3 + ["not_a_number", "out_of_range", "too_precise"]
    assert found[6:] == [of_float, of_int, "raised", "lands"]


@pytest.mark.parametrize("parsed", [datetime, Any])
def test_a_time_of_an_own_type_is_checked(parsed: Any) -> None:
    texts = ["2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00.5Z", "2024-05-01T10:00:00", "0001-01-01T00:00:00+05:00"]
    found = [text.partition(":")[0] for text in judge_title(own_source(Moment(), parsed, "event_timestamp"), *texts)]
    assert found == ["lands", "lands", "no_time_zone", "out_of_range"]


def test_an_own_type_is_a_part_of_an_id() -> None:
    source = own_source(Own(), str, "category")
    source.unified = {"external_id": ("sku", "title"), "name": "sku"}  # type: ignore[misc]
    assert judge_title(source, "x", "raise", "nul")[0] == "lands"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), SoftTimeLimitExceeded()])
def test_an_own_type_does_not_swallow_what_ends_the_run(error: BaseException) -> None:
    class Ending(Fast):
        def parse(self, value: Any, form: Form) -> Any:
            raise error

    with pytest.raises(type(error)):
        judge_title(own_source(Ending(), str, "name"), "x")
