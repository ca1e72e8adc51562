"""The declaration of a target: which model a source writes to, which columns it owns, and where each value comes from.

into = Into(Product, key="sku", owns={"sku": "Artikelnummer", "category": parent(Category, slug="Warengruppe")})

`etl/readers/target_plan.py` makes the contract and the mapping of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from django.db.models import Model

from etl.readers.mapping import Constant, Lowered, describe_mapped

Missing = Literal["refuse", "null", "wait"]
"""What happens to a record whose parent does not exist: it is refused, has no parent, or waits until there is one."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The field at `path`, whose words are translated."""

    path: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rest:
    """Everything of a record that no other field of `owns` or `first` takes, as one JSON object."""


Value = str | Lowered | Constant | Chosen


@dataclass(frozen=True, slots=True)
class Parent:
    """The row of another model that has these values, which its unique constraint covers."""

    model: type[Model]
    natural: Mapping[str, Value]
    missing: Missing = "refuse"


Owned = Value | Parent | Rest


@dataclass(frozen=True, slots=True)
class End:
    """A vanished record's row stays, and gets these values in columns that the source owns."""

    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """A vanished record's row is deleted."""


Vanished = End | Delete


def choice(path: str, choices: Mapping[str, str]) -> Chosen:
    """For `owns` and `first`: translate the words of the field at this path; other words are refused."""
    if not isinstance(choices, Mapping) or not choices:
        raise TypeError('choice(…) takes a translation of words: choice("Status", {"J": "active", "N": "ended"})')
    return Chosen(path, tuple(choices.items()))


def rest() -> Rest:
    """For `owns` and `first`: everything of a record that no other field of them takes, as one JSON object."""
    return Rest()


def parent(model: type[Model], *, missing: Missing = "refuse", **natural: Value) -> Parent:
    """For `owns`: the row of this model with these values. `missing` says what happens if there is none."""
    if missing not in get_args(Missing):
        raise TypeError(f'parent(missing=…) is "refuse", "null" or "wait", not {missing!r}')
    if not natural:
        raise TypeError('parent(…) names the fields that identify the row: parent(Supplier, code="Supplier")')
    return Parent(model, natural, missing)


def end(**columns: Any) -> End:
    """For `vanished`: keep the row of a record that vanished, and give these columns these values."""
    if not columns:
        raise TypeError('end(…) names the columns that it changes: end(status="ended")')
    return End(columns)


def delete() -> Delete:
    """For `vanished`: delete the row of a record that vanished."""
    return Delete()


@dataclass(frozen=True, slots=True, eq=False)
class Into:
    """The model that a source writes to.

    `key`: the fields of a unique constraint, which identify a record's row. `owns`: the source's fields, and where each
    value comes from; all other columns are the team's. `first`: fields that are written with a new row only, and are
    the team's from then on. `vanished`: what happens to the row of a record that a complete read lacked. Without
    `creates` a record whose row does not exist is refused.
    """

    model: type[Model]
    key: str | Sequence[str]
    owns: Mapping[str, Owned]
    first: Mapping[str, Owned] = field(default_factory=dict)
    vanished: Vanished | None = None
    creates: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.model, type) and issubclass(self.model, Model)):
            raise TypeError("Into(…) takes a model first: Into(Product, key=…, owns={…})")
        if self.vanished is not None and not isinstance(self.vanished, Vanished):
            raise TypeError("vanished is None, end(column=value) or delete()")
        for name, owned in {**self.owns, **self.first}.items():
            if not isinstance(owned, Owned):
                raise TypeError(f"{name!r} takes a path, constant(…), lower(…), choice(…), parent(…) or rest()")

    @property
    def key_fields(self) -> tuple[str, ...]:
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def label(self) -> str:
        """The model's label, such as `shop.Product`."""
        return str(self.model._meta.label)


def describe_owned(owned: Owned) -> str:
    """Describe in words where a value comes from."""
    if isinstance(owned, Rest):
        return "everything else, as JSON"
    if isinstance(owned, Chosen):
        words = ", ".join(f"{word} → {meaning}" for word, meaning in owned.choices)
        return f"{owned.path} ({words})"
    if isinstance(owned, Parent):
        natural = ", ".join(f"{name} = {describe_owned(value)}" for name, value in owned.natural.items())
        missing = {"refuse": "", "null": ", null if there is none", "wait": ", waits if there is none"}[owned.missing]
        return f"{owned.model._meta.label} with {natural}{missing}"
    return describe_mapped(owned)
