"""System checks of a source's own target: that its model can take what the source declares."""

import inspect
from collections.abc import Iterator, Sequence

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.exceptions import FieldDoesNotExist
from django.db import models, router

from etl.contracts.contract import Contract
from etl.database import name_database
from etl.readers.into import Delete, End, Into, Parent
from etl.readers.mapping import Constant
from etl.readers.model_types import list_slow
from etl.readers.source import Source
from etl.readers.target_plan import Unplannable


def check_target(path: str, source: Source) -> Iterator[CheckMessage]:
    """etl.E020: the declaration fits no model. etl.E021: something else of the source contradicts it.

    If these find nothing: etl.E022 the key, etl.E023 columns of new rows, etl.E024 `vanished`, etl.E025 the tables;
    etl.W004 code of the model that is not called, etl.W005 validators that are.
    """
    assert source.into is not None
    others = [*_check_others(path, source)]
    yield from others
    if others:
        return
    try:
        source.plan_target()
    except Unplannable as error:
        yield Error(f"{path}.into: {error}.", hint=error.hint, id="etl.E020")
        return
    into = source.into
    if ignored := sorted(set(source.contract.list_names()).intersection(source.ignore)):
        hint = "Take it out of ignore, or out of owns."
        yield Error(f"{path} ignores {', '.join(ignored)}, which into takes.", hint=hint, id="etl.E012")
    yield from _check_key(path, into)
    yield from _check_new(path, into)
    yield from _check_vanished(path, source, into)
    yield from _check_tables(path, into)
    yield from _check_code(path, into)


def check_shared(found: Sequence[tuple[str, Source]]) -> Iterator[CheckMessage]:
    """etl.E026: two sources own one column of the same rows."""
    for number, (path, source) in enumerate(found):
        for other_path, other in found[:number]:
            if source.into is None or other.into is None or source.into.model is not other.into.model:
                continue
            both = sorted(source.into.owns.keys() & other.into.owns.keys() - set(source.into.key_fields))
            if both and not _are_apart(source.into, other.into):
                hint = "Let each own other columns, or give a part of the key a constant of its own in each."
                text = f"{other_path} and {path} both own {', '.join(both)} of {source.into.label}."
                yield Error(text, hint=hint, id="etl.E026")


def _are_apart(one: Into, other: Into) -> bool:
    """Whether no row can have the keys of both: a part of the key is a constant in each, and they differ."""
    if one.key_fields != other.key_fields:
        return False
    return any(
        (first := _find_constants(one, name)) and (second := _find_constants(other, name)) and first != second
        for name in one.key_fields
    )


def _find_constants(into: Into, name: str) -> list[object]:
    owned = into.owns[name]
    values = owned.natural.values() if isinstance(owned, Parent) else (owned,)
    return [value.value for value in values if isinstance(value, Constant)]


def _check_others(path: str, source: Source) -> Iterator[CheckMessage]:
    kind = type(source)
    own = [name for name in ("unify", "judge") if getattr(kind, name) is not getattr(Source, name)]
    if isinstance(inspect.getattr_static(kind, "unified"), dict):
        own.append("unified")
    for name in own:
        hint = "A source has one target: with into, its values come from owns. Remove one of them."
        yield Error(f"{path} has into and {name}.", hint=hint, id="etl.E021")
    if source.since is not None and inspect.getattr_static(kind, "_narrowing") is None:
        hint = "Declare a contract with the field that since names; the paths of owns are its fields then."
        yield Error(f"{path} has since and into, but no contract.", hint=hint, id="etl.E021")
    contract = inspect.getattr_static(kind, "_narrowing")
    if contract is not None and not (isinstance(contract, type) and issubclass(contract, Contract)):
        yield Error(f"{path} has no usable contract.", hint="Use a Contract, or leave it out.", id="etl.E021")


def _check_key(path: str, into: Into) -> Iterator[CheckMessage]:
    """etl.E022: what identifies a row, of the target or of a parent, is not unique or may be null."""
    if not is_unique(into.model, into.key_fields):
        hint = f"Declare a UniqueConstraint on {', '.join(into.key_fields)}, without a condition."
        yield Error(f"{path}.into: the key is not unique in {into.label}.", hint=hint, id="etl.E022")
    for name in into.key_fields:
        if into.model._meta.get_field(name).null:
            hint = "Two rows without a value are not equal, so each run would add one. Remove null=True."
            yield Error(f"{path}.into: {name}, a part of the key, may be null.", hint=hint, id="etl.E022")
    for name, owned in {**into.owns, **into.first}.items():
        if not isinstance(owned, Parent):
            continue
        if not is_unique(owned.model, tuple(owned.natural)):
            label = owned.model._meta.label
            hint = "Name the fields of one of its unique constraints."
            text = f"{path}.into: {', '.join(owned.natural)} does not identify one row of {label}."
            yield Error(text, hint=hint, id="etl.E022")
        if owned.missing == "null" and (name in into.key_fields or not into.model._meta.get_field(name).null):
            hint = 'Use missing="refuse", or null=True in the model.'
            yield Error(f"{path}.into: {name} can't be null.", hint=hint, id="etl.E022")


def is_unique(model: type[models.Model], names: Sequence[str]) -> bool:
    """Whether the database itself keeps two rows from having the same values in these fields."""
    wanted = set(names)
    fields = [model._meta.get_field(name) for name in names]
    if len(fields) == 1 and isinstance(fields[0], models.Field) and fields[0].unique:
        return True
    together = [set(each) for each in model._meta.unique_together]
    total = [
        set(each.fields)
        for each in model._meta.constraints
        if isinstance(each, models.UniqueConstraint) and each.condition is None and each.deferrable is None
    ]
    return wanted in [*together, *total]


def _check_new(path: str, into: Into) -> Iterator[CheckMessage]:
    """etl.E023: a new row lacks a value that its column needs."""
    if not into.creates:
        return
    for field in into.model._meta.concrete_fields:
        is_taken = field.name in into.owns or field.name in into.first
        is_automatic = isinstance(field, models.AutoField) or getattr(field, "auto_now", False)
        is_automatic = is_automatic or getattr(field, "auto_now_add", False) or getattr(field, "generated", False)
        has_value = field.null or field.has_default() or field.has_db_default()
        is_text = isinstance(field, models.CharField | models.TextField) and field.blank
        if not (is_taken or is_automatic or has_value or is_text):
            hint = "Own it, give it a value by first, give the field a default, or use creates=False."
            text = f"{path}.into: a new row of {into.label} would have no {field.name}."
            yield Error(text, hint=hint, id="etl.E023")


def _check_vanished(path: str, source: Source, into: Into) -> Iterator[CheckMessage]:
    """etl.E024: nothing can vanish, or a column that is ended would stay so when a record returns."""
    if into.vanished is not None and not source.complete:
        hint = "Say complete = True if each content has all records; otherwise leave vanished out."
        yield Error(f"{path}.into declares vanished, but the source is not complete.", hint=hint, id="etl.E024")
    if isinstance(into.vanished, End):
        for name in into.vanished.columns:
            try:
                into.model._meta.get_field(name)
            except FieldDoesNotExist:
                yield Error(f"{path}.into: {into.label} has no field {name!r}.", hint="Correct it.", id="etl.E024")
                continue
            if name not in into.owns or name in into.key_fields:
                hint = "Own it, for instance by constant(…): a record that returns gets that value again."
                yield Error(f"{path}.into ends {name}, which it does not own.", hint=hint, id="etl.E024")
    if isinstance(into.vanished, Delete):
        yield from _check_related(path, into)


def _check_related(path: str, into: Into) -> Iterator[CheckMessage]:
    """etl.W006: rows that something refers to can't be deleted."""
    related = [each.related_model._meta.label for each in into.model._meta.related_objects if not each.many_to_many]
    if related:
        hint = "on_delete is Django's: here the foreign keys decide. Use end(…) if such rows may vanish."
        text = f"{path}.into deletes rows of {into.label}, to which {', '.join(map(str, related))} may refer."
        yield Warning(text, hint=hint, id="etl.W006")


def _check_tables(path: str, into: Into) -> Iterator[CheckMessage]:
    """etl.E025: a table is in another database, so that a batch can't be one transaction, or lacks a needed column."""
    parents = [owned.model for owned in {**into.owns, **into.first}.values() if isinstance(owned, Parent)]
    for model in dict.fromkeys((into.model, *parents)):
        if (found := router.db_for_write(model)) != name_database():
            hint = "A batch is one transaction: route the model there, or set ETL_DATABASE to the model's database."
            text = f"{path}.into: {model._meta.label} is in {found}, but Kasparro's tables are in {name_database()}."
            yield Error(text, hint=hint, id="etl.E025")
        if isinstance(model._meta.pk, models.CompositePrimaryKey):
            names = ", ".join(model._meta.pk.field_names)
            hint = f"Give it a primary key of one column, and declare a UniqueConstraint on {names}."
            text = f"{path}.into: {model._meta.label} has a primary key of several columns: {names}."
            yield Error(text, hint=hint, id="etl.E025")
    if into.model._meta.abstract or into.model._meta.proxy or into.model._meta.parents:
        hint = "Use a model with a table of its own."
        text = f"{path}.into: {into.label} is abstract, a proxy or has a parent's columns."
        yield Error(text, hint=hint, id="etl.E025")
    for name, owned in {**into.owns, **into.first}.items():
        if isinstance(owned, Parent):
            yield from _check_inherited(path, into, name, owned)


def _check_inherited(path: str, into: Into, name: str, owned: Parent) -> Iterator[CheckMessage]:
    """etl.E025: a field of a parent is in the table of the model from which it inherits."""
    reference = into.model._meta.get_field(name)
    assert isinstance(reference, models.ForeignKey)
    for field in (*map(owned.model._meta.get_field, owned.natural), reference.target_field):
        if field.model._meta.concrete_model is not owned.model._meta.concrete_model:
            base, label = field.model._meta.label, owned.model._meta.label
            hint = f"Let {into.label}.{name} refer to {base}, or find the row by fields that {label} itself declares."
            text = f"{path}.into: {name} is found by {label}.{field.name}, which is in the table of {base}."
            yield Error(text, hint=hint, id="etl.E025")


def _check_code(path: str, into: Into) -> Iterator[CheckMessage]:
    """etl.W004: the model's own save() or clean() is not called. etl.W005: validators are called value by value."""
    own = [
        name for name in ("save", "clean", "full_clean") if getattr(into.model, name) is not getattr(models.Model, name)
    ]
    if own:
        hint = "Rows are written by SQL, and no signal of the model is sent. Use a constraint, or `batch_landed`."
        yield Warning(f"{path}.into: {into.label}.{', '.join(own)} is not called.", hint=hint, id="etl.W004")
    for name, owned in {**into.owns, **into.first}.items():
        field = into.model._meta.get_field(name)
        if isinstance(owned, Parent) or not isinstance(field, models.Field):
            continue
        if slow := list_slow(field):
            hint = "That is slower than a type of a contract; for large contents prefer a constraint."
            text = f"{path}.into: {', '.join(slow)} is called for each value of {name}."
            yield Warning(text, hint=hint, id="etl.W005")
