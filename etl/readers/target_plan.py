"""Plans how a source's records become rows of its target: contract, mapping, and the values of a staged row. Pure.

A staged row has each value as text that PostgreSQL reads. Which columns they fill is in `columns` and `parents`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.fields import Field
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form
from etl.contracts.json_values import JsonType
from etl.contracts.words import ChoiceType
from etl.readers.into import Chosen, Into, Missing, Owned, Parent, Rest, Value, describe_owned
from etl.readers.mapping import Column, Constant, Lowered, Mapped, Part, list_paths, take_column, write_unified
from etl.readers.model_types import AnyField, Underivable, derive_type, name_field
from etl.readers.target_contract import (
    Leaf,
    TakenField,
    allow_absence,
    build_contract,
    leave_rest,
    list_taken,
    lower_text,
    narrow,
)
from etl.records import Breach, OwnedFields, Slice

_JSON = JsonType()


class Unplannable(TypeError):
    """A declaration that fits no model. The message is one sentence, and `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class StagedValue:
    """One value of a staged row: what it takes of a record, and its text for a record that has none."""

    mapped: Mapped | Rest
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class OwnedColumn:
    """A column of the target that takes the staged value at `place`. `is_first`: only with a new row."""

    name: str
    place: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class OwnedParent:
    """A foreign key of the target, found by the staged values at `places`. `shown` names them for messages.

    `referred` is the parent's column that it refers to.
    """

    name: str
    model: type[models.Model]
    referred: str
    natural: tuple[str, ...]
    places: tuple[int, ...]
    missing: Missing
    is_first: bool
    shown: str


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """How records of a source become rows of a model."""

    into: Into
    contract: type[Contract]
    unified: Mapping[str, Mapped]
    values: tuple[StagedValue, ...]
    columns: tuple[OwnedColumn, ...]
    parents: tuple[OwnedParent, ...]
    key: tuple[str, ...]
    taken: tuple[TakenField, ...]

    @property
    def filled(self) -> list[str]:
        """The columns of the target that take a value of a record."""
        return [each.name for each in self.columns] + [each.name for each in self.parents]

    @property
    def owned(self) -> list[str]:
        """The columns that a change of a record changes."""
        first = {each.name for each in self.columns if each.is_first}
        first |= {each.name for each in self.parents if each.is_first}
        return [name for name in self.filled if name not in first]

    def name_values(self) -> list[str]:
        """Return the model's field that each staged value is for; of a parent also the field that identifies it."""
        fields = {str(field.column): field.name for field in self.into.model._meta.concrete_fields}
        names = {each.place: fields[each.name] for each in self.columns}
        for each in self.parents:
            places = zip(each.places, each.natural, strict=True)
            names |= {place: f"{fields[each.name]}__{column}" for place, column in places}
        return [names[place] for place in range(len(self.values))]

    def describe(self) -> list[str]:
        """Return what decides the target's values, for the digest of a source."""
        into = self.into
        owned = [f"{name} ← {describe_owned(value)}" for name, value in sorted(into.owns.items())]
        first = [f"{name} ← {describe_owned(value)}, first" for name, value in sorted(into.first.items())]
        absent = [f"{place}: {value.absent!r}" for place, value in enumerate(self.values) if value.absent is not None]
        return [f"into {into.label} by {', '.join(into.key_fields)}", *owned, *first, *absent]

    def take(self, parsed: Mapping[str, Any], sent: Mapping[str, Any], form: Form) -> tuple[str | None, ...] | Breach:
        """Return the staged values of one record, given its parsed values by path and those it was sent with."""
        texts: list[str | None] = []
        for value in self.values:
            text = self._take_value(value, parsed, sent, form)
            if isinstance(text, Breach):
                return text
            texts.append(value.absent if text is None else text)
        return tuple(texts)

    def _take_value(
        self, value: StagedValue, parsed: Mapping[str, Any], sent: Mapping[str, Any], form: Form
    ) -> str | Breach | None:
        if isinstance(value.mapped, Rest):
            return self._take_rest(sent, form)
        return _take(self.contract, value.mapped, parsed)

    def take_columns(
        self, texts: Mapping[str, Column], part: Slice, form: Form
    ) -> tuple[list[Column], dict[int, Breach]]:
        """Return the staged values of all records of a slice, column by column, and the breaches by row."""
        columns: list[Column] = []
        breaches: dict[int, Breach] = {}
        for value in self.values:
            if isinstance(value.mapped, Rest):
                column, broken = self._take_rests(part, form)
                breaches = broken | breaches
            else:
                column = take_column(value.mapped, texts, len(part))
            if value.absent is not None:
                column = [value.absent if text is None else text for text in column]
            columns.append(column)
        return columns, breaches

    def _take_rests(self, part: Slice, form: Form) -> tuple[Column, dict[int, Breach]]:
        columns = part.list_columns()
        if columns is None:
            sent: Sequence[Mapping[str, Any]] = [part.make_record(row).values for row in range(len(part))]
        else:
            sent = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        found = [self._take_rest(values, form) for values in sent]
        breaches = {row: text for row, text in enumerate(found) if isinstance(text, Breach)}
        return [None if isinstance(text, Breach) else text for text in found], breaches

    def _take_rest(self, sent: Mapping[str, Any], form: Form) -> str | Breach:
        left = self._leave_columns(sent) if form.is_file else leave_rest(sent, self.taken)
        left = {name: value for name, value in left.items() if value is not None}
        result = _JSON.parse(left, JSON_FORM)
        return result if isinstance(result, Breach) else _JSON.write(result)

    def _leave_columns(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        found = self.contract.resolve(tuple(sent))
        taken = {name for field in self.taken for name in found.get(field.name, ())}
        return {name: value for name, value in sent.items() if name not in taken}


def make_owned(external_id: str, texts: tuple[str | None, ...]) -> OwnedFields:
    """Return the fields of a record for its target; in the ledger its id is also its name."""
    return OwnedFields(external_id=external_id, name=external_id, texts=texts)


def _take(contract: type[Contract], mapped: Mapped, parsed: Mapping[str, Any]) -> str | None:
    if isinstance(mapped, Constant):
        return write_unified(mapped.value)
    path = mapped.path if isinstance(mapped, Lowered) else mapped
    assert isinstance(path, str)
    value = parsed[path]
    if value is None:
        return None
    kind = contract.list_fields()[path].kind
    assert isinstance(kind, FieldType)
    text = kind.write(value)
    return text.lower() if isinstance(mapped, Lowered) else text


def make_plan(into: Into, narrowing: type[Contract] | None, form: Form) -> TargetPlan:
    """Plan the target of a source, whose own contract narrows the derived one. Raises Unplannable."""
    return _Planner(into, narrowing, form).plan()


class _Planner:
    """Gathers what a plan consists of, field by field."""

    def __init__(self, into: Into, narrowing: type[Contract] | None, form: Form) -> None:
        self.into, self.narrowing, self.form = into, narrowing, form
        self.values: list[StagedValue] = []
        self.columns: list[OwnedColumn] = []
        self.parents: list[OwnedParent] = []
        self.leaves: list[Leaf] = []
        self.narrowed: dict[str, list[FieldType]] = {}
        self.parts: dict[str, list[Part]] = {}

    def plan(self) -> TargetPlan:
        for is_first, owned in ((False, self.into.owns), (True, self.into.first)):
            for name, value in owned.items():
                self._add(name, value, is_first=is_first)
        key = [self._find_field(name) for name in self.into.key_fields]
        contract = self._make_contract()
        mapped = self._make_id()
        taking = [value.mapped for value in self.values if not isinstance(value.mapped, Rest)]
        return TargetPlan(
            into=self.into,
            contract=contract,
            unified={"external_id": mapped, "name": mapped},
            values=tuple(self.values),
            columns=tuple(self.columns),
            parents=tuple(self.parents),
            key=tuple(str(field.column) for field in key),
            taken=list_taken(contract, {path for each in taking for path in list_paths(each)}),
        )

    def _find_field(self, name: str, model: type[models.Model] | None = None) -> AnyField:
        model = model or self.into.model
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            known = ", ".join(each.name for each in model._meta.concrete_fields)
            raise Unplannable(f"{model._meta.label} has no field {name!r}", f"Its fields are {known}.") from None
        if not isinstance(field, models.Field) or not getattr(field, "concrete", False) or field.many_to_many:
            raise Unplannable(f"{model._meta.label}.{name} has no column", "A source owns columns of one table only.")
        return field

    def _add(self, name: str, owned: Owned, *, is_first: bool) -> None:
        field = self._find_field(name)
        is_key = name in self.into.key_fields
        if isinstance(owned, Parent):
            self._add_parent(field, owned, is_first=is_first, is_key=is_key)
            return
        if isinstance(field, models.ForeignKey):
            hint = f"Write parent({field.related_model.__name__}, …) with the fields that identify the row."
            raise Unplannable(f"{name_field(field)} is a foreign key", hint)
        if isinstance(owned, Rest):
            if not isinstance(field, models.JSONField):
                raise Unplannable(f"{name_field(field)} is no JSONField, but takes rest()", "Give it a path.")
            place = self._stage(StagedValue(owned))
        else:
            mapped, absent = self._plan_value(name, field, owned, is_key=is_key)
            place = self._stage(StagedValue(mapped, absent))
            if is_key and not isinstance(mapped, Constant):
                self.parts.setdefault(name, []).append(mapped)
        self.columns.append(OwnedColumn(str(field.column), place, is_first))

    def _add_parent(self, field: AnyField, owned: Parent, *, is_first: bool, is_key: bool) -> None:
        if not isinstance(field, models.ForeignKey):
            raise Unplannable(f"{name_field(field)} is no foreign key, but takes parent(…)", "Give it a path.")
        if field.related_model is not owned.model:
            label = field.related_model._meta.label
            raise Unplannable(f"{name_field(field)} refers to {label}, not to {owned.model._meta.label}", "Correct it.")
        places = []
        for natural, value in owned.natural.items():
            of_parent = self._find_field(natural, owned.model)
            if isinstance(of_parent, models.ForeignKey):
                hint = "Only fields with a value of their own identify a parent."
                raise Unplannable(f"{name_field(of_parent)} is a foreign key", hint)
            is_required = is_key or not field.null
            mapped, _ = self._plan_value(f"{field.name}__{natural}", of_parent, value, is_key=is_required, is_of=field)
            places.append(self._stage(StagedValue(mapped)))
            if is_key and not isinstance(mapped, Constant):
                self.parts.setdefault(field.name, []).append(mapped)
        columns = tuple(str(self._find_field(each, owned.model).column) for each in owned.natural)
        shown = ", ".join(_show_value(value) for value in owned.natural.values())
        planned = OwnedParent(
            name=str(field.column),
            model=owned.model,
            referred=str(field.target_field.column),
            natural=columns,
            places=tuple(places),
            missing=owned.missing,
            is_first=is_first,
            shown=shown,
        )
        self.parents.append(planned)

    def _stage(self, value: StagedValue) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def _plan_value(
        self, name: str, field: AnyField, value: Value, *, is_key: bool, is_of: "AnyField | None" = None
    ) -> tuple[Part, str | None]:
        """Return what a staged value takes, and its text where a record has none."""
        try:
            kind = derive_type(field)
        except Underivable as error:
            raise Unplannable(str(error), "Own other fields of the model.") from error
        if isinstance(value, Constant):
            return self._plan_constant(field, kind, value), None
        if isinstance(value, Chosen):
            kind = _translate(field, kind, value)
        path = value if isinstance(value, str) else value.path
        if isinstance(value, Lowered):
            if field.choices:
                raise Unplannable(f"{name_field(field)} has choices, but takes lower(…)", "Use choice(…).")
            kind = lower_text(kind)
        is_optional, absent = (False, None) if is_key else allow_absence(is_of or field)
        taken = self._take_path(name, path, Field(kind, object, is_optional, ((path,),)), value)
        return (Lowered(taken) if isinstance(value, Lowered) else taken), absent

    def _plan_constant(self, field: AnyField, kind: FieldType, value: Constant) -> Constant:
        text = write_unified(value.value) or ""
        if isinstance(field, models.BooleanField):
            text = {"1": "true", "0": "false"}.get(text, text)
        result = kind.parse(text, FILE_FORM)
        if isinstance(result, Breach):
            raise Unplannable(f"{name_field(field)}: the constant {text!r} {result.message}", "Correct the constant.")
        return Constant(kind.write(result))

    def _take_path(self, name: str, path: str, field: Field, value: Value) -> str:
        """Return the path in the contract that holds the field at this path of the content."""
        if self.narrowing is None:
            return self._add_leaf(name, path, field)
        known = self.narrowing.list_fields().get(path)
        if known is None:
            has = ", ".join(self.narrowing.list_fields())
            hint = f"Add a field of that name to the contract, or take one of those it has: {has}."
            raise Unplannable(f"{path!r} is not in the source's contract, which must have each path of `into`", hint)
        if isinstance(value, Chosen):
            hint = "Declare the translation there: field(choices={…}), and take its path."
            raise Unplannable(f"choice({path!r}) is not possible in a source with a contract", hint)
        if known.is_optional and not field.is_optional:
            hint = "Declare it in the contract without `| None`."
            raise Unplannable(f"{path!r} may be null in the contract, but its column needs a value", hint)
        assert isinstance(field.kind, FieldType)
        self.narrowed.setdefault(path, []).append(field.kind)
        return path

    def _add_leaf(self, name: str, path: str, field: Field) -> str:
        steps = (path,) if self.form.is_file else tuple(path.split("."))
        self.leaves.append((steps[:-1], name, replace(field, columns=((steps[-1],),))))
        return ".".join([*(f"{step}{{}}" for step in steps[:-1]), name])

    def _make_contract(self) -> type[Contract]:
        if self.narrowing is not None:
            return narrow(self.narrowing, self.narrowed)
        return build_contract(f"{self.into.model.__name__}Contract", self.leaves)

    def _make_id(self) -> Mapped:
        parts = [part for name in self.into.key_fields for part in self.parts.get(name, ())]
        missing = [name for name in self.into.key_fields if name not in self.into.owns]
        if missing:
            hint = "A source owns each field of its key."
            raise Unplannable(f"owns does not name {', '.join(missing)}, which the key has", hint)
        if not parts:
            raise Unplannable("the key is the same for every record", "Take at least one field of the content.")
        return parts[0] if len(parts) == 1 else tuple(parts)


def _show_value(value: Value) -> str:
    if isinstance(value, Constant):
        return repr(write_unified(value.value))
    return value if isinstance(value, str) else value.path


def _translate(field: AnyField, kind: FieldType, value: Chosen) -> FieldType:
    for _, meaning in value.choices:
        result = kind.parse(meaning, FILE_FORM)
        if isinstance(result, Breach):
            raise Unplannable(
                f"{name_field(field)}: {meaning!r}, to which choice(…) translates, {result.message}", "Correct it."
            )
    return ChoiceType(value.choices)
