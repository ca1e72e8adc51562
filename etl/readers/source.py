"""The base of every source: name, schedule, contract and mapping, and how to open and read its content.

Readers don't know the tables: they get the last read's validators (`Opening`) and return content in chunks.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Literal, overload

from django.conf import settings

from etl.conf import Settings, conf
from etl.contracts.contract import CONTRACT_FORMAT, Contract
from etl.contracts.forms import JSON_FORM, Form, set_zone
from etl.contracts.instants import TimeType
from etl.contracts.own_code import ends_run, refuse_raised
from etl.contracts.texts import NON_BLANK
from etl.contracts.unified import check_result
from etl.gates import Gates
from etl.http.since import Since, begin_day
from etl.read_context import ReadContext
from etl.readers.content import Content, OpenedFile, Opening
from etl.readers.into import Into
from etl.readers.mapping import (
    FILE_NAME,
    ROW_NUMBER,
    TEXT_LIMITS,
    Mapped,
    holds_any_own,
    list_paths,
    report_long_text,
    take,
    takes_origin,
)
from etl.readers.places import FoundFile
from etl.readers.target_plan import TargetPlan, make_owned, make_plan
from etl.records import UNWANTED, Breach, Record, Refusal, StoredRefusal, UnifiedFields, Unwanted
from etl.vocabulary import BreachCode, SourceKind


class setting:  # noqa: N801  (reads as a word in a source's body)
    """A class attribute whose value is the Django setting of this name, read when it is used."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> str: ...
    @overload
    def __get__(self, instance: object, owner: type) -> str: ...
    def __get__(self, instance: object | None, owner: type) -> str:
        return self.read()

    def read(self) -> str:
        """Return today's value, for code that takes the setting itself: `Bearer(setting("TRACKER_TOKEN"))`."""
        value = getattr(conf if hasattr(Settings, self.name) else settings, self.name)
        return "" if value is None else str(value)


class secret(setting):  # noqa: N801
    """Like `setting`, for a key: where an address or a message would show it, it shows `***`."""


class _OfPlan:
    """A class attribute of a source with a target of its own that its plan has: contract or mapping."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: "type[Source]") -> Any:
        return getattr(owner.plan_target(), self.name)


class Source:
    """A system that Kasparro reads. A subclass declares what differs; see "Add a source" in the README.

    `unified` maps fields of the unified table to field paths of the contract, or to a `constant`; `external_id` may
    take several fields, as a tuple. A source that needs more overrides `unify`, and raises `version` with each change
    of `unify`.
    """

    name: str
    kind: ClassVar[SourceKind]
    every: timedelta | str
    """How often the source is due: an interval, or a crontab of five fields in `zone`."""
    zone: str | None = None
    """The time zone, such as "Europe/Berlin", of the crontab (UTC without one) and of times that name none."""
    contract: ClassVar[type[Contract]]
    form: ClassVar[Form] = JSON_FORM
    unified: ClassVar[Mapping[str, Mapped]] = {}
    into: ClassVar[Into | None] = None
    """The team's own model that the records land in, instead of the unified table."""
    version: ClassVar[int] = 1
    ignore: Sequence[str] = ()
    """Columns whose changes do not count: a record is written when other columns change, and then with these too."""
    keep: ClassVar[Literal["first", "last"]] = "first"
    """Which record of an id counts within one content, if no event time decides: for files also the last."""
    complete: ClassVar[bool] = False
    """Whether each whole read has all records of the source: a record that it lacks has vanished."""
    gates: ClassVar[Gates] = Gates()
    resume_within: timedelta | None = None
    """A walk through pages that was interrupted longer ago starts over; None for no limit."""
    since: ClassVar[Since | None] = None
    """How the source is asked only for the records that have changed since the last read; None if it can't be."""
    _narrowing: ClassVar[type[Contract] | None] = None
    _plan: ClassVar[TargetPlan | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        declared = vars(cls)
        if "into" in declared or (cls.into is not None and "contract" in declared):
            cls._plan = None  # it is made when it is asked for: models are loaded after the modules of sources
            if "contract" in declared:
                cls._narrowing = declared["contract"]
            setattr(cls, "contract", _OfPlan("contract"))  # noqa: B010  (a descriptor of this class)
            if "unified" not in declared:
                setattr(cls, "unified", _OfPlan("unified"))  # noqa: B010

    @classmethod
    def plan_target(cls) -> TargetPlan:
        """Return the plan of a source with a target of its own. Raises Unplannable."""
        assert cls.into is not None
        if cls._plan is None:
            cls._plan = make_plan(cls.into, cls._narrowing, cls.form)
        return cls._plan

    @property
    def target(self) -> TargetPlan | None:
        """How records become rows of the target; None for the unified table."""
        return self.plan_target() if self.into is not None else None

    def open(self, opening: Opening, context: ReadContext) -> AbstractContextManager[Content | None]:
        """Open the content; None if the server says that it is not modified. Raises SourceError."""
        raise NotImplementedError

    @property
    def has_pattern(self) -> bool:
        """Whether its content is the files that a pattern finds."""
        return False

    def list_files(self) -> Sequence[FoundFile]:
        """Return the files that its pattern finds, in the order of their names. Raises SourceError."""
        raise NotImplementedError

    def open_file(self, file: FoundFile) -> AbstractContextManager[OpenedFile]:
        """Open one of these files. Raises SourceError."""
        raise NotImplementedError

    @property
    def location(self) -> str:
        """The source's address for display, without credentials and query."""
        raise NotImplementedError

    @property
    def secrets(self) -> Sequence[str]:
        """The keys that no address and no message may show; by default the attributes declared by `secret`."""
        names = {name for kind in type(self).__mro__ for name, value in vars(kind).items() if isinstance(value, secret)}
        return [getattr(self, name) for name in sorted(names)]

    def find_change(self) -> datetime | None:
        """Return when a local file last changed (UTC); None for a source that must be asked."""
        return None

    def revive(self, stored: StoredRefusal) -> Record | Refusal | None:
        """Read a refused record again for a replay; None if too little of it was kept."""
        return None

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        """Return the record's unified fields, given its parsed values by field path."""
        taken: dict[str, Any] = {}
        for target, mapped in self.unified.items():
            result = take(self.contract, mapped, target, values)
            if isinstance(result, Breach):
                return result
            taken[target] = result
        return UnifiedFields(**taken)

    def skips(self, values: Mapping[str, Any]) -> bool:
        """Return whether the source does not want this record, given its parsed values by field path."""
        return False

    def judge(self, values: Mapping[str, Any]) -> UnifiedFields | Breach | Unwanted:
        """Return the record's unified fields, the breach for which it is refused, or that it is not wanted."""
        parsed = self.contract.judge(values, self.local_form)
        if isinstance(parsed, Breach):
            return parsed
        is_unwanted = self.is_unwanted(MappingProxyType(parsed)) if self.has_skips else False
        if isinstance(is_unwanted, Breach):
            return is_unwanted
        if is_unwanted:
            return UNWANTED
        unified = self._unify({**parsed, **self._take_origin(values)} if self.takes_origin else parsed)
        if self.target is None or isinstance(unified, Breach):
            return unified
        texts = self.target.take(parsed, values, self.local_form)
        return texts if isinstance(texts, Breach) else make_owned(unified.external_id, texts)

    def is_unwanted(self, values: Mapping[str, Any]) -> bool | Breach:
        """Return what `skips` says of a record that fulfils the contract, or the breach of a `skips` that fails."""
        try:
            result: object = self.skips(values)
        except Exception as error:  # noqa: BLE001  (law 13)
            return refuse_raised(error, "skips", self.skips)
        if not isinstance(result, bool):
            return Breach(BreachCode.BAD_RESULT, f"skips must return True or False, not {type(result).__name__}")
        return result

    def _unify(self, parsed: Mapping[str, Any]) -> UnifiedFields | Breach:
        try:
            unified = check_result(self.unify(parsed), "unify")
        except Exception as error:  # noqa: BLE001  (law 13)
            return refuse_raised(error, "unify", self.unify)
        return unified if isinstance(unified, Breach) else self._find_long_text(unified) or unified

    def find_external_id(self, values: Mapping[str, Any]) -> str | None:
        """Return the id of a refused record, by the declared mapping; None if there is none, or if it can't be parsed.

        A field type of the source's own may raise anything here: the record is refused already.
        """
        mapped = self.unified.get("external_id")
        if mapped is None:
            return None
        try:
            parsed = {path: self.contract.parse_field(path, values, self.local_form) for path in list_paths(mapped)}
            text = take(self.contract, mapped, "external_id", parsed | self._take_origin(values))
        except Exception as error:
            if ends_run(error):
                raise
            return None
        if not isinstance(text, str):
            return None
        is_fit = len(text) <= TEXT_LIMITS["external_id"] and NON_BLANK.parse(text, JSON_FORM) == text
        return text if is_fit else None

    @property
    def takes_origin(self) -> bool:
        """Whether the file and the number of a record are a part of its id."""
        return takes_origin(self.unified.get("external_id"))

    def add_origin(self, record: Record, file: str) -> Mapping[str, Any]:
        """Return the record's values, and with them its origin if the id takes it. `file` is the file being read."""
        if not self.takes_origin:
            return record.values
        origin = {FILE_NAME.key: record.file or file, ROW_NUMBER.key: str(record.position)}
        return {**record.values, **origin}

    def _take_origin(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if not self.takes_origin:
            return {}
        return {key: values[key] for key in (FILE_NAME.key, ROW_NUMBER.key)}

    def _find_long_text(self, unified: UnifiedFields) -> Breach | None:
        for target, limit in TEXT_LIMITS.items():
            text = getattr(unified, target)
            if text is not None and len(text) > limit:
                return self.report_long_text(target, len(text))
        return None

    def report_long_text(self, target: str, length: int) -> Breach:
        """Return the breach of a record whose text for this unified field has too many characters."""
        return report_long_text(self.contract, self.unified.get(target, target), target, length)

    @property
    def is_declared(self) -> bool:
        """Whether contract, mapping and `skips` say all; otherwise own code judges record by record."""
        own = type(self)
        is_mapped = own.unify is Source.unify and own.judge is Source.judge
        return is_mapped and not holds_any_own(self.contract, self.unified)

    @property
    def has_skips(self) -> bool:
        """Whether there may be records that the source does not want."""
        return type(self).skips is not Source.skips

    @property
    def local_form(self) -> Form:
        """How the values are written, with the source's zone for times that name none."""
        return set_zone(self.form, self.zone)

    @classmethod
    def describe_reading(cls) -> Mapping[str, Any]:
        """Return what else decides how content is read, as JSON; empty if all of it is as usual."""
        return {}

    def digest(self) -> str:
        """Hash contract, mapping, dialect and the form of values. If the hash changes, the content is judged again."""
        mapping = {target: repr(path) for target, path in self.unified.items()}
        described: list[Any] = [CONTRACT_FORMAT, self.version, self.contract.describe(), mapping]
        described += self.local_form.describe()
        if self.target is not None:
            described.append(self.target.describe())
        if self.has_skips:
            described.append("skips")
        if reading := self.describe_reading():
            described.append(reading)
        if self.ignore:
            described.append(f"ignore {sorted(self.ignore)}")
        if self.keep != "first":
            described.append(f"keep {self.keep}")
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]

    def describe_query(self) -> str:
        """Return what decides which records the source gives, apart from `since` and from credentials."""
        return self.location

    def find_change_time(self, values: Mapping[str, Any]) -> datetime | None:
        """Return when this record was changed last, in UTC; None if its time is missing or can't be read."""
        if self.since is None:
            return None
        try:
            parsed = self.contract.parse_field(self.since.of, values, self.local_form)
        except Exception as error:
            if ends_run(error):
                raise
            return None
        if not isinstance(parsed, date) or (isinstance(parsed, datetime) and parsed.utcoffset() is None):
            return None
        return begin_day(parsed)

    def time_digest(self) -> str:
        """Return four bytes as hex text for the event time's mapping: times of different mappings can't be compared."""
        mapped = self.unified.get("event_timestamp")
        read = [text for path in list_paths(mapped) for text in self._describe_time(path)] if mapped is not None else []
        return hashlib.sha256(" ".join([str(self.version), repr(mapped), *read]).encode()).hexdigest()[:8]

    def target_digest(self) -> str:
        """Return four bytes as hex text for the target; empty for the unified table. A new target gets all records."""
        return hashlib.sha256(self.into.label.encode()).hexdigest()[:8] if self.into is not None else ""

    def _describe_time(self, path: str) -> list[str]:
        """Return what decides which instant a value is; nothing for a type whose values name their zone."""
        field = self.contract.list_fields().get(path)
        kind = field.kind if field is not None else None
        return [kind.describe(), str(self.local_form.zone)] if isinstance(kind, TimeType) else []
