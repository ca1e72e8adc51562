"""Describes a source from its class and from the tables: what it reads, what it demands, and how it does."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from etl.clock import as_utc, read_clock
from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.names import describe_respelled
from etl.drift import list_names
from etl.models import JudgedRead
from etl.models.records import RAW_MODELS
from etl.readers.http_source import HttpSource, describe_requests
from etl.readers.mapping import describe_mapped
from etl.readers.source import Source
from etl.reports.standing import load_checkpoints, read_standings
from etl.runs import schedule
from etl.storage.snapshots import find_fields
from etl.storage.waiting import Waiting, count_waiting

Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class DescribedField:
    """A field of a contract: its path, its type with columns and parameters, and what the type accepts."""

    path: str
    type: str
    accepts: str


@dataclass(frozen=True, slots=True)
class Description:
    """A source and its state, as pairs of label and text."""

    declared: Lines
    contract: str
    fields: list[DescribedField]
    mapping: Lines
    state: Lines


def describe_source(source: Source) -> Description:
    """Describe the source; the state is read from the database."""
    return Description(
        [*_describe_declared(source)],
        source.contract.__name__,
        [*_list_fields(source.contract)],
        [(target, describe_mapped(mapped)) for target, mapped in source.unified.items()],
        [*_describe_state(source)],
    )


def _describe_declared(source: Source) -> Iterator[tuple[str, str]]:
    kind = type(source)
    yield "class", f"{kind.__module__}.{kind.__qualname__}"
    yield "place", source.location
    dialect = getattr(source, "dialect", None)
    yield "format", show_options(dialect) if dialect is not None else kind.__name__
    yield "raw records", RAW_MODELS[source.kind].table()
    yield "every", f"{source.every}" + (f" ({source.zone or 'UTC'})" if isinstance(source.every, str) else "")
    if source.zone is not None:
        yield "zone", source.zone
    yield "complete", "yes: what a whole read lacks is removed" if source.complete else "no"
    if source.since is not None:
        yield "since", show_options(source.since)
    for name in ("keep", "ignore"):
        if value := getattr(source, name, None):
            yield name, value if isinstance(value, str) else ", ".join(map(str, value))
    if isinstance(source, HttpSource):
        yield from describe_requests(source)
    if (pages := getattr(source, "pages", None)) is not None:
        yield "pages", show_options(pages)
    if each := getattr(source, "each", ""):
        yield "each", each
    own = [name for name in ("unify", "skips", "judge", "open") if _is_own(kind, name)]
    if own:
        yield "own code", ", ".join(own)
    yield "gates", show_options(source.gates, all_of_them=True)


def _is_own(kind: type[Source], name: str) -> bool:
    """Whether the source's class replaces this method of Kasparro's own classes."""
    method = inspect.getattr_static(kind, name, None)
    return method is not None and not getattr(method, "__module__", "etl.").startswith("etl.readers.")


def show_options(declared: object, *, all_of_them: bool = False) -> str:
    """Return a dataclass as it would be written, with the options that differ from their defaults, or all of them."""
    if not is_dataclass(declared):
        return type(declared).__name__
    given = {each.name: (getattr(declared, each.name), each.default) for each in fields(declared) if each.init}
    shown = [f"{name}={value!r}" for name, (value, default) in given.items() if all_of_them or value != default]
    return f"{type(declared).__name__}({', '.join(shown)})"


def _list_fields(contract: type[Contract]) -> Iterator[DescribedField]:
    described, listed = contract.describe(), contract.list_fields()
    for path, text in described.items():
        kind = listed[path].kind if path in listed else None
        yield DescribedField(path, text, describe_type(kind) if isinstance(kind, FieldType) else "")


def describe_type(kind: FieldType) -> str:
    """Return what the type accepts, in the first sentence of its docstring."""
    text = inspect.cleandoc(type(kind).__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return "" if type(kind).__doc__ is FieldType.__doc__ else text.partition(". ")[0].rstrip(".")


def _describe_state(source: Source) -> Iterator[tuple[str, str]]:
    (standing,) = read_standings([source.name])
    checkpoint = load_checkpoints([source.name]).get(source.name)
    yield "standing", standing.word
    yield "schedule", _describe_schedule(source)
    if standing.last_run is not None:
        run = standing.last_run
        reason = f" ({run.reason})" if run.reason else ""
        yield "last run", f"{run.pk}, {run.status}{reason}, {run.finished_at:%Y-%m-%d %H:%M:%S}"
    if standing.next_try_at is not None:
        yield "next try", f"{standing.next_try_at:%Y-%m-%d %H:%M:%S}"
    if checkpoint is None:
        return
    yield "records", f"{checkpoint.record_count:,} present, {checkpoint.removed_count:,} removed"
    yield "open quarantine", f"{checkpoint.open_quarantine_count:,}"
    if (waiting := count_waiting([source.name]).get(source.name)) is not None:
        yield "waiting for rows", describe_waiting(waiting)
    if checkpoint.watermark is not None:
        yield "watermark", f"{as_utc(checkpoint.watermark):%Y-%m-%d %H:%M:%S} UTC"
    names = list_names(find_fields(source.name))
    if respelled := source.contract.find_respelled(sorted(names), is_file=source.form.is_file):
        yield "names of columns", describe_respelled(respelled)
    number = checkpoint.accepted_read
    accepted = JudgedRead.objects.filter(source=source.name, number=number).first() if number is not None else None
    if accepted is not None:
        counts = f"{accepted.seen:,} seen, {accepted.quarantined:,} refused"
        yield "last accepted read", f"{accepted.number}, {accepted.ended_at:%Y-%m-%d %H:%M:%S}, {counts}"


def describe_waiting(waiting: Waiting) -> str:
    """Say how many records wait for rows to which they refer, and since when."""
    return f"{waiting.count:,} since {waiting.since:%Y-%m-%d %H:%M:%S}"


def _describe_schedule(source: Source) -> str:
    entry = schedule.find_entries([source]).get(source.name)
    if entry is None:
        return "none yet; the sweep creates it"
    timing = entry.interval or entry.crontab
    following = schedule.find_next_due(entry, read_clock())
    due = f", next due {following:%Y-%m-%d %H:%M:%S} UTC" if following is not None else ""
    return f"{timing}{due}" if entry.enabled else f"{timing}, switched off"
