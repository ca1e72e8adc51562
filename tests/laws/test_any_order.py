"""Laws 4, 5 and 6 whatever the order of a later read: each record is found, counted once, and written only if it
changed; what a complete read lacked is removed.

Stories of two sources whose rows lie among each other: every read has the records of the read before in another order,
with some of them changed, repeated, refused, missing, back or new, and may be cut short and resumed.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_django import Settings

from etl.exceptions import LeaseLost
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.records import Chunk, Cursor
from etl.reports.verification import verify
from etl.sources import lower
from tests.listed_source import Listed, ListedContent, TimedListed, fetch, ingest_here, make_item

pytestmark = pytest.mark.django_db(transaction=True)

Item = dict[str, Any]
COUNTERS = ("seen", "new", "updated", "unchanged", "duplicate", "quarantined", "skipped", "removed")
SIZES = (2, 5, 7, 20, 50, 60, 1000)


class CutContent(ListedContent):
    """Ends with an error before the batch that goes beyond `cut` records."""

    cut: int

    def read(self, cursor: Cursor | None, batch_size: int) -> Iterator[Chunk]:
        for chunk in super().read(cursor, batch_size):
            if chunk.cursor["position"] > self.cut:
                raise LeaseLost("the process stood still here")
            yield chunk


class Cuttable(Listed):
    """Its content breaks off after `cut` records."""

    cut = 1 << 30

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        with super().open(opening, context) as content:
            assert isinstance(content, ListedContent)
            cut = CutContent(content.records, content.fingerprint)
            cut.cut = self.cut
            yield cut


class Complete(Cuttable):
    complete = True


class Lowered(Complete):
    """The same source after a change of its mapping."""

    unified = {**Cuttable.unified, "name": lower("name")}


class Timed(Complete, TimedListed):
    name = "timed"
    unified = TimedListed.unified


class LoweredTimed(Timed):
    unified = {**Timed.unified, "name": lower("name")}


@dataclass
class Kept:
    """What must be stored of a record."""

    content: str
    name: str
    time: str


@dataclass
class Model:
    """The laws in their simplest form: what a source's tables must hold after each record."""

    kinds: Sequence[type[Cuttable]]
    records: list[Item] = field(default_factory=list)
    stored: dict[str, Kept] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    refused: set[str] = field(default_factory=set)
    met: set[str] = field(default_factory=set)
    outdated: set[str] = field(default_factory=set)
    refused_ids: set[str] = field(default_factory=set)
    """The other records that the read has sent."""
    removed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    open_read: tuple[list[Item], type[Cuttable], int] | None = None
    """A read that was cut short: its content, and the number of records that have landed."""

    @property
    def name(self) -> str:
        return self.kinds[0].name

    def take(self, record: Item, kind: type[Cuttable]) -> None:
        outcome = self._place(record, kind)
        self.counters["seen"] += 1
        self.counters[outcome] += 1
        if outcome == "duplicate":
            self.outdated.add(record["id"])
        elif outcome != "quarantined":
            self.met.add(record["id"])
            self.removed.discard(record["id"])
        if outcome in ("new", "updated"):
            self.written.add(record["id"])

    def _place(self, record: Item, kind: type[Cuttable]) -> str:
        content = json.dumps(record, sort_keys=True)
        if record["price"] == "x":
            self.refused.add(json.dumps(record))
            self.refused_ids.add(record["id"])
            return "quarantined"
        name = record["name"].lower() if kind is not self.kinds[0] else record["name"]
        now, kept = Kept(content, name, record.get("at", "")), self.stored.get(record["id"])
        returns = record["id"] in self.removed
        if (
            kept is not None
            and not returns
            and (now.time < kept.time or (now.time == kept.time and record["id"] in self.met))
        ):
            return "duplicate"
        if kept == now and not returns:
            return "unchanged"
        self.stored[record["id"]] = now
        self.versions += kept is None or kept.content != content
        return "new" if kept is None else "updated"

    def end_read(self) -> None:
        """Remove what the read lacked."""
        vanished = self.stored.keys() - self.removed - self.met - self.outdated - self.refused_ids
        self.removed |= vanished
        self.written |= vanished
        self.counters["removed"] += len(vanished)


def arrange(chance: random.Random, records: Sequence[Item]) -> list[Item]:
    """Return the records in another order, or in the same one."""
    taken, middle = list(records), chance.randint(0, len(records))
    match chance.randint(0, 8):  # mostly the same one
        case 0:
            chance.shuffle(taken)
        case 1:
            taken.reverse()
        case 2:
            taken = taken[middle:] + taken[:middle]
        case 3:  # a few late ones
            for _ in range(3):
                taken.insert(chance.randint(0, len(taken) - 1), taken.pop(chance.randrange(len(taken))))
    return taken


def edit(chance: random.Random, model: Model) -> list[Item]:
    """Return the next content of the source: some records changed, refused, missing, repeated or new."""
    share, version = chance.choice((0, 0.02, 0.02, 0.2, 0.6)), f"V{chance.randrange(10**6)}"
    taken, changed = [], []
    for record in arrange(chance, model.records):
        match chance.randint(0, 5) if chance.random() < share else -1:
            case 0 | 1:
                changed.append(record | describe(chance, model, version))
                taken.append(changed[-1])
            case 2:
                taken.append(record | {"price": "x", "note": version})
            case 3:
                taken += [record, record] if chance.random() < 0.5 else [record, record | {"note": version}]
            case 4:
                taken += [record | {"price": "x"}, record]
            case 5:
                pass
            case _:
                taken.append(record)
    for _ in range(chance.choice((0, 1, 5))):  # again, far away
        taken.insert(chance.randint(0, len(taken)), chance.choice(chance.choice((changed, taken)) or taken))
    for number in range(chance.choice((0, 0, 1, 20))):
        new = make_item(f"{version}-{number}") | describe(chance, model, version)
        taken.insert(chance.randint(0, len(taken)) if chance.random() < 0.3 else len(taken), new)
    return taken


def describe(chance: random.Random, model: Model, version: str) -> Item:
    """Return new values for a record: another name, or one that only the raw record shows."""
    time = {"at": f"2026-01-{chance.randint(1, 28):02d}T00:00:00Z"} if issubclass(model.kinds[0], Timed) else {}
    return {chance.choice(("name", "note")): version, **time}


def read(chance: random.Random, model: Model, settings: Settings) -> None:
    """Read the next content in full: perhaps cut short, and then resumed or given up."""
    model.records, kind = edit(chance, model), chance.choice(model.kinds)
    for _ in range(chance.choice((0, 0, 1, 2))):
        read_until(chance, model, kind, settings, chance.randint(0, len(model.records)))
        skip_ids(chance)
    if chance.random() < 0.9:
        read_until(chance, model, kind, settings, len(model.records))


def read_until(chance: random.Random, model: Model, kind: type[Cuttable], settings: Settings, cut: int) -> None:
    """Read up to the batch that goes beyond `cut`: from the beginning, or on from where the same read was cut."""
    size = settings.ETL_BATCH_SIZE = chance.choice(SIZES)
    source, begin, last = kind(model.records), 0, len(model.records)
    source.cut = cut
    ingest_here(source, full=True)
    if model.open_read is not None and model.open_read[:2] == (model.records, kind):
        begin = model.open_read[2]
    end = max((end for end in [*range(begin + size, last, size), last] if end <= cut), default=begin)
    if end > begin == 0:
        for each in (model.met, model.outdated, model.refused_ids):
            each.clear()
    for record in model.records[begin:end]:
        model.take(record, kind)
    if end > begin:
        model.open_read = (model.records, kind, end) if end < last else None
    if end == last and model.counters:
        model.end_read()


def skip_ids(chance: random.Random) -> None:
    """Leave a gap in the ids, as a batch does that was rolled back."""
    gap = chance.choice((0, 0, 1, 5, 200))
    fetch("SELECT nextval(pg_get_serial_sequence('unified_records', 'id')) FROM generate_series(1, %s)", gap)


def list_tuples(source: str) -> dict[str, list[Any]]:
    """Return where each record's row is, and which transaction wrote it."""
    return dict(
        fetch_pairs("SELECT external_id, ctid::text || ' ' || xmin FROM unified_records WHERE source = %s", source)
    )


def fetch_pairs(statement: str, *parameters: Any) -> Iterator[tuple[Any, Any]]:
    return ((key, value) for key, value in fetch(statement, *parameters))


def list_met(source: str) -> set[str]:
    """Return the records that the last read has marked or written. Their number is stored too."""
    met = fetch(
        "SELECT external_id FROM unified_records AS r JOIN ingestion_checkpoints AS c USING (source)"
        " LEFT JOIN etl_read_marks AS m ON m.source = c.source AND m.read_number = c.read_number"
        " AND m.kind = 'record' AND m.block = r.id / 32768"
        " WHERE r.source = %s AND removed_at IS NULL AND"
        " (r.sequence > c.read_sequence OR get_bit(m.bits, (r.id %% 32768)::int) = 1)",
        source,
    )
    assert fetch("SELECT read_met FROM ingestion_checkpoints WHERE source = %s", source) == [(len(met),)]
    return {row[0] for row in met}


def assert_as_modelled(model: Model, before: Mapping[str, Any]) -> None:
    sums = ", ".join(f"coalesce(sum({name}), 0)::int" for name in COUNTERS)
    (counted,) = fetch(f"SELECT {sums} FROM etl_runs WHERE source = %s", model.name)
    assert dict(zip(COUNTERS, counted, strict=True)) == {name: model.counters[name] for name in COUNTERS}
    stored = fetch(
        "SELECT u.external_id, r.payload::jsonb::text, u.name, to_char(u.event_timestamp AT TIME ZONE 'UTC',"
        ' \'YYYY-MM-DD"T"HH24:MI:SS"Z"\') FROM unified_records AS u JOIN raw_records AS r ON r.id = u.raw_id'
        " WHERE u.source = %s",
        model.name,
    )
    found = {
        key: Kept(json.dumps(json.loads(text), sort_keys=True), name, time or "") for key, text, name, time in stored
    }
    assert found == model.stored
    removed = fetch("SELECT external_id FROM unified_records WHERE source = %s AND removed_at IS NOT NULL", model.name)
    assert {key for (key,) in removed} == model.removed
    assert fetch("SELECT count(*) FROM raw_records WHERE source = %s", model.name) == [(model.versions,)]
    assert fetch("SELECT count(*) FROM etl_quarantine WHERE source = %s", model.name) == [(len(model.refused),)]
    after = list_tuples(model.name)
    assert {key for key in after if before.get(key) != after[key]} == model.written
    assert list_met(model.name) == model.met
    model.written.clear()


@pytest.mark.parametrize("story", range(10))
def test_a_read_in_any_order_finds_each_record_and_writes_what_changed(
    moments: random.Random, settings: Settings, story: int
) -> None:
    chance = random.Random(f"{moments.random()} {story}")
    models = [Model((Complete, Lowered)), Model((Timed, LoweredTimed))]
    for model in models:
        count = chance.choice((10, 100, 200))
        model.records = [make_item(f"first-{n}") | describe(chance, model, f"Old {n}") for n in range(count)]
    for _ in range(12):
        model = chance.choice(models)
        other = next(each for each in models if each is not model)
        before, untouched = list_tuples(model.name), list_tuples(other.name)
        read(chance, model, settings)
        if model.counters:  # a batch has landed
            assert_as_modelled(model, before)
        assert list_tuples(other.name) == untouched
        skip_ids(chance)
    assert verify() == []


ORDERED = [make_item(f"i{number:03d}") for number in range(300)]
CHANGED = ORDERED[250] | {"name": "Changed"}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([*ORDERED[:50], ORDERED[250], *ORDERED[50:]], {"unchanged": 300, "duplicate": 1}),
        ([*ORDERED[:50], CHANGED, *ORDERED[50:250], CHANGED, *ORDERED[251:]], {"updated": 1, "unchanged": 299}),
        ([*ORDERED[:150], ORDERED[149], *ORDERED[150:]], {"unchanged": 300, "duplicate": 1}),
    ],
    ids=["unchanged", "changed", "in_one_batch"],
)
def test_a_record_that_comes_again_in_its_place_is_a_duplicate(
    settings: Settings, records: list[Item], expected: dict[str, int]
) -> None:
    """By then the read finds stored records by their order, this one too."""
    settings.ETL_BATCH_SIZE = 100
    ingest_here(Listed(ORDERED))
    outcome = ingest_here(Listed(records))
    assert outcome.counters == dict.fromkeys(COUNTERS, 0) | {"seen": 301, "duplicate": 1} | expected


def test_an_id_that_looks_like_another_record_hides_no_change(settings: Settings) -> None:
    """Stored records are compared as lines of one text; this id has a line break and what could be the next line."""
    settings.ETL_BATCH_SIZE = 100
    ingest_here(Listed(ORDERED))
    rows = "SELECT encode(content_hash || values_hash, 'hex') || ' ' || external_id FROM unified_records"
    forged = [f"{number:03}\n{line}" for number, (line,) in enumerate(fetch(f"{rows} ORDER BY id LIMIT 300"))]
    records = [make_item(f"{ORDERED[0]['id']}{each}") for each in forged]
    assert ingest_here(Listed(records)).counters["new"] == len(records)
    changed = [{**record, "name": "Other"} if place % 150 == 149 else record for place, record in enumerate(records)]
    outcome = ingest_here(Listed(changed))
    assert (outcome.counters["updated"], outcome.counters["unchanged"]) == (2, len(records) - 2)
