"""System checks of the settings and the sources: each mistake is an error with an id and a hint."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, get_args
from uuid import UUID
from zoneinfo import available_timezones

from celery.schedules import crontab
from django.apps import apps
from django.core.checks import ERROR, CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.files.storage import storages
from django.db import DatabaseError

from etl.conf import conf, list_settings
from etl.contracts.amounts import IntegerType
from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.fields import Field
from etl.contracts.own_types import is_class
from etl.contracts.times import DateType
from etl.contracts.unified import find_misfit
from etl.database import connection
from etl.http.credentials import choose_credentials
from etl.http.pages import Numbered
from etl.http.since import Since
from etl.http.webhooks import parse_webhook
from etl.installation import BEAT, SOURCES_TAG, TAG
from etl.readers.children import find_misuse
from etl.readers.file_source import FileSource
from etl.readers.http_content import Whole
from etl.readers.http_source import HttpSource, list_misuses
from etl.readers.json_api import ApiSource
from etl.readers.json_dialect import Json
from etl.readers.mapping import (
    FILE_NAME,
    ROW_NUMBER,
    TEXT_LIMITS,
    UNIFIED_TYPES,
    Constant,
    Lowered,
    Mapped,
    Origin,
    Part,
    list_paths,
    takes_origin,
)
from etl.readers.places import STORAGE, StoragePlace
from etl.readers.source import Source
from etl.records import UnifiedFields
from etl.runs.schedule import LONGEST_NAME, has_sweep
from etl.sources.registry import NotListed, list_entry
from etl.storage import driver
from etl.target_checks import check_shared, check_target

REQUIRED_FIELDS = ("external_id", "name")


@register(TAG)
def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E007: a setting of etl/conf.py has a value that can't be used."""
    problems = [(setting, setting.find_problem()) for setting in list_settings()]
    return [Error(problem, hint=setting.hint, id="etl.E007") for setting, problem in problems if problem is not None]


@register(TAG)
def check_database(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E034: the server binds the parameters of statements. Then a text can't hold several statements."""
    if not (driver.IS_PSYCOPG3 and connection.settings_dict["OPTIONS"].get("server_side_binding")):
        return []
    hint = "Remove server_side_binding from the OPTIONS of DATABASES, or set it to False."
    return [Error("Kasparro needs parameters that the client binds.", hint=hint, id="etl.E034")]


@register(TAG)
def check_webhooks(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.W001: alerts are posted without a signature. Slack's format has no place for one."""
    setting = type(conf).ALERT_WEBHOOKS
    is_usable = setting.find_problem() is None
    plain = [address for address in conf.ALERT_WEBHOOKS if not parse_webhook(address).is_slack] if is_usable else []
    if not plain or conf.ALERT_WEBHOOK_SECRET:
        return []
    hint = "Set ALERT_WEBHOOK_SECRET to a long random string, and let the receiver check the signature."
    return [Warning("Alerts to ALERT_WEBHOOKS are not signed.", hint=hint, id="etl.W001")]


@register(Tags.database)
def check_sweep(
    app_configs: Sequence[Any] | None, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """etl.W003: no enabled entry of the schedule runs the sweep. It runs with `check --database default` only."""
    if not apps.is_installed(BEAT):  # etl.E031 says so
        return []
    try:
        is_fine = not databases or has_sweep()
    except DatabaseError:  # the tables are not there yet
        return []
    if is_fine:
        return []
    hint = "Run `manage.py sweep`, which creates a missing entry, or enable the entry in the admin."
    message = "The schedule has no enabled entry for etl.tasks.sweep: only workers that start or wait would queue runs."
    return [Warning(message, hint=hint, id="etl.W003")]


@register(SOURCES_TAG)
def check_sources(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E001 … etl.E026, see below, in target_checks.py and in the registry.

    etl.W002: the database keeps a callable from listing.
    """
    messages: list[CheckMessage] = []
    labels: dict[str, str] = {}
    checked: list[tuple[str, Source]] = []
    for path in conf.ETL_SOURCES:
        found = list_entry(path)
        for item in found:
            if isinstance(item, NotListed):
                kind = Warning if item.id == "etl.W002" else Error
                messages.append(kind(f"ETL_SOURCES: {item.message}", hint=item.hint, id=item.id))
                continue
            label = path if len(found) == 1 else f"{path} ({item.name})"
            messages += [*_check_source(label, item), *_check_repeated(label, item, labels)]
            checked.append((label, item))
    return [*messages, *check_shared(checked)]


def _check_repeated(label: str, source: Source, labels: dict[str, str]) -> Iterator[CheckMessage]:
    """etl.E003: two sources have one name."""
    if source.name in labels:
        hint = "The name identifies a source in every table. Give each source its own name."
        message = f"{label} and {labels[source.name]} are both named {source.name!r}."
        yield Error(message, hint=hint, id="etl.E003")
    labels[source.name] = label


def _check_source(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: an attribute is missing or of the wrong type. etl.E008: the name. etl.E005, E006: the mapping.

    etl.E009: `whole` and `complete` contradict each other. etl.E011: `keep` is for files.
    """
    name = source.name
    if not (name.isprintable() and name == name.strip() and 1 <= len(name) <= LONGEST_NAME):
        hint = f"Use 1 to {LONGEST_NAME} printable characters, no spaces around them: a schedule entry holds no more."
        yield Error(f"{path} has a name that can't be used.", hint=hint, id="etl.E008")
    if not _is_interval(getattr(source, "every", None)):
        hint = 'Add to the class: every = a timedelta, or a crontab of five fields such as "0 6 * * 1-5".'
        yield Error(f"{path} has no usable every.", hint=hint, id="etl.E004")
    if not _is_zone(source.zone):
        hint = 'Use a name of the IANA database such as zone = "Europe/Berlin".'
        yield Error(f"{path} has no usable zone.", hint=hint, id="etl.E004")
    if isinstance(type(source).secrets, str):
        hint = "Declare each key by secret(NAME OF ITS SETTING), or make secrets a list of strings."
        yield Error(f"{path}.secrets is a string, not a list.", hint=hint, id="etl.E004")
    if source.into is not None:
        of_target = [*check_target(path, source)]
        yield from of_target
        if any(message.level >= ERROR for message in of_target):
            return  # without a plan it has no contract
    yield from _check_api(path, source)
    yield from _check_since(path, source)
    yield from _check_whole(path, source)
    yield from _check_keep(path, source)
    if isinstance(source.ignore, str) or not all(isinstance(name, str) for name in source.ignore):
        hint = 'Use a list of names: ignore = ["exported_at"].'
        yield Error(f"{path} has no usable ignore.", hint=hint, id="etl.E004")
    yield from _check_place(path, source)
    if source.into is None:
        yield from _check_contract(path, source)


def _check_contract(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: there is no contract. The mapping is checked too, unless `unify` takes its place."""
    contract = getattr(source, "contract", None)
    if not (isinstance(contract, type) and issubclass(contract, Contract) and contract.fields):
        yield Error(f"{path} has no contract.", hint="Add to the class: contract = a Contract.", id="etl.E004")
    elif type(source).unify is Source.unify:
        yield from _check_mapping(path, source)
        yield from _check_ignored(path, source)


def _check_keep(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: `keep` is not one of its words. etl.E011: only a file can be read from its end."""
    if source.keep not in ("first", "last"):
        yield Error(f"{path} has no usable keep.", hint='Use "first" or "last".', id="etl.E004")
    elif source.keep == "last" and not isinstance(source, FileSource):
        hint = "Leave keep out, or map a time to event_timestamp: then the newest record counts."
        yield Error(f'{path} has keep = "last", but it is not a file.', hint=hint, id="etl.E011")


def _check_ignored(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E012: a unified field is taken from a column that is ignored, so its raw record would show another value."""
    fields = source.contract.fields
    for mapped in source.unified.values():
        for taken in list_paths(mapped):
            field = fields.get(taken.partition(".")[0])
            names = {taken, *(name for spellings in (field.columns if field else ()) for name in spellings)}
            if names.intersection(source.ignore):
                hint = "Take it out of ignore, or out of unified."
                yield Error(f"{path} ignores {taken!r}, which unified takes.", hint=hint, id="etl.E012")


def _check_api(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: `auth` or `pages` is not of a kind that there is, or an option of the requests can't be used."""
    if isinstance(source, HttpSource):
        for name, hint in list_misuses(source):
            yield Error(f"{path} has no usable {name}.", hint=hint, id="etl.E004")
    try:
        choose_credentials(getattr(source, "auth", None))
    except TypeError as error:
        yield Error(f"{path} has no usable auth.", hint=str(error), id="etl.E004")
    each = getattr(source, "each", "")
    if each and not isinstance(getattr(source, "dialect", None), Json):
        hint = "Details are JSON, so their list must be JSON too: derive the class from JsonApiSource."
        yield Error(f"{path} has each, but its list is not JSON.", hint=hint, id="etl.E004")
    if hint := find_misuse(each):
        yield Error(f"{path} has no usable each.", hint=hint, id="etl.E004")
    pages = getattr(source, "pages", None)
    if pages is not None and (isinstance(pages, type) or not hasattr(pages, "find_next")):
        hint = "Use NextUrl(…), LinkHeader(), Token(…), Numbered(…) or After(…)."
        yield Error(f"{path} has no usable pages.", hint=hint, id="etl.E004")
        return
    names = getattr(pages, "siblings", ())
    if names and isinstance(source, ApiSource) and not source.dialect.has_siblings:
        hint = 'Declare the path of the array, such as records = "data", or take the next page from a header.'
        cause = f"its pages look for {names[0]!r} next to the records, where it has nothing"
        yield Error(f"{path} has no usable pages: {cause}.", hint=hint, id="etl.E004")


def _check_since(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: `since` is of another kind. etl.E009: what has changed is not complete. etl.E016: its field."""
    since = source.since
    if since is None:
        return
    if not isinstance(since, Since) or not hasattr(source, "pages"):
        hint = 'Use Since("updated_since", of="updated_at") in a source of an API.'
        yield Error(f"{path} has no usable since.", hint=hint, id="etl.E004")
        return
    if source.complete:
        hint = "A record that has not changed is not sent, and would be removed: remove complete = True or since."
        yield Error(f"{path} is complete, but asks only for what has changed.", hint=hint, id="etl.E009")
    if since.into and getattr(source, "body", None) is None:
        hint = "Declare the body of the POST, or give Since a parameter."
        yield Error(f"{path} puts since into a body, but has none.", hint=hint, id="etl.E016")
    fields = getattr(source.contract, "fields", None) and source.contract.list_fields()
    if fields and since.of not in fields:
        hint = f"The contract has {', '.join(fields)}."
        yield Error(f"{path}.since takes {since.of!r}, which is not in the contract.", hint=hint, id="etl.E016")
    elif fields and not _holds_time(fields[since.of]):
        hint = "Take a field of the type Time, ZonedTime or Date."
        yield Error(f"{path}.since takes {_name(fields, since.of)}, which is not a time.", hint=hint, id="etl.E016")


def _holds_time(field: Field) -> bool:
    return not is_class(field.parsed) or issubclass(field.parsed, date)


def _check_whole(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E004: `whole` is not one of its words. etl.E009: without a proof of its end, no read is complete."""
    whole = getattr(source, "whole", "proven")
    if whole not in get_args(Whole):
        yield Error(f"{path} has no usable whole.", hint='Use "proven" or "unproven".', id="etl.E004")
    elif whole == "unproven" and getattr(source, "complete", False):
        hint = 'What an unproven body lacks may only be cut off: remove complete = True or whole = "unproven".'
        yield Error(f"{path} is complete, but accepts bodies whose end is not proven.", hint=hint, id="etl.E009")
    pages = getattr(source, "pages", None)
    if isinstance(pages, Numbered) and source.complete and not pages.total:
        hint = (
            "If a record is removed between two pages, the next page lacks one, and only a total shows it: give"
            " Numbered the total, or remove complete = True."
        )
        yield Error(f"{path} is complete, but uses numbered pages without a total.", hint=hint, id="etl.E009")


def _check_place(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E013: a new file of a pattern is only a part of the source. etl.E014: STORAGES lacks the storage."""
    if source.has_pattern and source.complete:
        hint = "Remove complete = True: a record that is missing from one file may be in another."
        yield Error(f"{path} is complete, but its path matches several files.", hint=hint, id="etl.E013")
    place = getattr(source, "path", None)
    if isinstance(place, str) and place.startswith(STORAGE):
        alias, name = StoragePlace.parse(place).alias, StoragePlace.parse(place).path
        if alias not in storages.backends or not name:
            known = ", ".join(storages.backends)
            hint = f"Use storage://ALIAS/NAME with an alias of STORAGES ({known})."
            yield Error(f"{path}.path names no file of a storage: {place}.", hint=hint, id="etl.E014")


def _is_interval(every: object) -> bool:
    if isinstance(every, timedelta):
        return every >= timedelta(seconds=1)
    try:
        return isinstance(every, str) and crontab.from_string(every) is not None
    except ValueError:
        return False


def _is_zone(zone: object) -> bool:
    return zone is None or (isinstance(zone, str) and zone in available_timezones())


def _check_mapping(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E005: a field of `unified` is unknown or missing. E006: its path is not in the contract, or does not fit."""
    for target in REQUIRED_FIELDS:
        if target not in source.unified:
            hint = f'Add "{target}": a field of the contract.'
            yield Error(f"{path}.unified does not map {target}.", hint=hint, id="etl.E005")
    for target, mapped in source.unified.items():
        if target not in UNIFIED_TYPES:
            hint = f"The fields are {', '.join(UNIFIED_TYPES)}."
            yield Error(f"{path}.unified maps to {target!r}, which is not a field.", hint=hint, id="etl.E005")
        elif isinstance(mapped, tuple):
            yield from _check_parts(path, source, target, mapped)
        else:
            yield from _check_mapped(path, source, target, mapped)


def _check_parts(path: str, source: Source, target: str, parts: Sequence[Part]) -> Iterator[CheckMessage]:
    """An id of several fields: any field with a value is a part of it. A record whose part is null is refused."""
    if target != "external_id" or not parts:
        hint = "Only external_id takes several fields. For other fields override `unify`."
        yield Error(f"{path}.unified gives {target} {len(parts)} fields.", hint=hint, id="etl.E006")
    elif takes_origin(tuple(parts)):
        yield from _check_origin(path, source, parts)
    elif not list_paths(tuple(parts)):
        hint = "Take at least one field of the contract."
        yield Error(f"{path}.unified gives every record the same {target}.", hint=hint, id="etl.E006")
    for part in parts:
        if isinstance(part, Constant):
            yield from _check_constant(path, "external_id", part)
            continue
        if isinstance(part, Origin):
            continue
        yield from _check_paths(path, source, part)


def _check_origin(path: str, source: Source, parts: Sequence[Part]) -> Iterator[CheckMessage]:
    """etl.E015: the file and the number of a record are an id only where a file never changes, in a pattern."""
    if not source.has_pattern:
        hint = (
            "A line inserted above would change the id of each record after it. Make the path a pattern, or map fields."
        )
        yield Error(
            f"{path}.unified takes {_show_origins(parts)}, but its path is not a pattern.", hint=hint, id="etl.E015"
        )
    elif FILE_NAME not in parts:
        hint = "Other files have the same numbers: add file_name()."
        yield Error(f"{path}.unified takes row_number() without file_name().", hint=hint, id="etl.E015")
    elif ROW_NUMBER not in parts and not list_paths(tuple(parts)):
        hint = "Add row_number(), or a field of the contract."
        yield Error(f"{path}.unified gives every record of a file the same id.", hint=hint, id="etl.E015")


def _show_origins(parts: Sequence[Part]) -> str:
    return " and ".join(part.key for part in parts if isinstance(part, Origin))


def _check_mapped(path: str, source: Source, target: str, mapped: Part) -> Iterator[CheckMessage]:
    if isinstance(mapped, Constant):
        if target == "external_id":
            hint = "Take at least one field of the contract."
            yield Error(f"{path}.unified gives every record the same {target}.", hint=hint, id="etl.E006")
        yield from _check_constant(path, target, mapped)
        return
    if isinstance(mapped, Origin):
        hint = "Only external_id takes it, with another part: (file_name(), row_number())."
        yield Error(f"{path}.unified maps {mapped.key} to {target}.", hint=hint, id="etl.E015")
        return
    unknown = list(_check_paths(path, source, mapped))
    yield from unknown
    if unknown:
        return
    fields = source.contract.list_fields()
    (field_path,) = list_paths(mapped)
    if not _fits(fields[field_path], target, is_lowered=isinstance(mapped, Lowered)):
        hint = _say_what_fits(fields[field_path], target)
        message = f"{path}.unified maps {_name(fields, field_path)} to {target}, which it does not fit."
        yield Error(message, hint=hint, id="etl.E006")
    elif fields[field_path].is_optional and target in REQUIRED_FIELDS:
        hint = f"{target} needs a value in every record: map a required field, or declare this one without `| None`."
        message = f"{path}.unified maps {_name(fields, field_path)} to {target}, but the field is optional."
        yield Error(message, hint=hint, id="etl.E006")


def _check_paths(path: str, source: Source, mapped: Mapped) -> Iterator[CheckMessage]:
    fields = source.contract.list_fields()
    for field_path in list_paths(mapped):
        if field_path not in fields:
            hint = f"The contract has {', '.join(fields)}."
            yield Error(f"{path}.unified takes {field_path!r}, which is not in the contract.", hint=hint, id="etl.E006")


def _check_constant(path: str, target: str, mapped: Constant) -> Iterator[CheckMessage]:
    """A constant must be storable: it would refuse each record."""
    named: dict[str, Any] = {"external_id": "x", "name": "x"} | {target: mapped.value}
    misfit = find_misfit(UnifiedFields(**named))
    is_long = target in TEXT_LIMITS and misfit is None and len(str(mapped.value)) > TEXT_LIMITS[target]
    if misfit or is_long:
        cause = misfit.message if misfit else f"{target} holds {TEXT_LIMITS[target]} characters"
        hint = f"{target} holds a {UNIFIED_TYPES[target].__name__}."
        yield Error(f"{path}.unified gives {target} a constant that does not fit: {cause}.", hint=hint, id="etl.E006")


def _name(fields: Mapping[str, Field], path: str) -> str:
    kind = fields[path].kind
    return f"{path!r} ({kind.describe()})" if isinstance(kind, FieldType) else repr(path)


def _fits(field: Field, target: str, *, is_lowered: bool) -> bool:
    parsed = field.parsed
    if not is_class(parsed):  # such as Any: only the records can show whether it fits
        return True
    if is_lowered:
        return issubclass(parsed, str) and target in TEXT_LIMITS
    if target in TEXT_LIMITS:
        return issubclass(parsed, str | int | UUID) and parsed is not bool
    return issubclass(parsed, UNIFIED_TYPES[target]) or (target == "value" and isinstance(field.kind, IntegerType))


def _say_what_fits(field: Field, target: str) -> str:
    if target == "event_timestamp" and isinstance(field.kind, DateType):
        return (
            'A day is not an instant: declare it as Time with formats=["%Y-%m-%d"] and a zone, for its midnight there.'
        )
    return f"{target} holds a {UNIFIED_TYPES[target].__name__}."
