"""Gates: what a source demands of a whole read, and the verdict on a read that misses some of it. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self

from etl.vocabulary import ReadOutcome, Reason, Status

FAILING = (
    Reason.COLUMNS_MISSING,
    Reason.SUDDENLY_EMPTY,
    Reason.TOO_MANY_REFUSED,
    Reason.TOO_FEW_RECORDS,
)
"""The gates that fail a run, the gravest first."""
HOLDING = (Reason.PAGES_SHIFTED, Reason.SHRUNKEN, Reason.STALE)
"""The gates that make a run partial."""
ACCEPTABLE = (Reason.SUDDENLY_EMPTY, Reason.TOO_MANY_REFUSED, Reason.TOO_FEW_RECORDS, Reason.SHRUNKEN)
"""The gates that an operator may overrule for one content."""


@dataclass(frozen=True, slots=True)
class Gates:
    """The limits of a source's reads. Shares are of 1. Raises ValueError for a limit that makes no sense.

    A read fails if more than `max_refused` of its records are refused, and at least `min_refused` of them; or if it has
    fewer than `min_records`. It is partial, and removes nothing, if it has fewer than `min_kept` of the records of the
    last accepted read. A run is partial if its content has not changed for longer than `fresh_within`.
    """

    max_refused: float = 0.5
    min_refused: int = 5
    min_kept: float = 0.5
    min_records: int = 0
    fresh_within: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("max_refused", "min_kept"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Gates.{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        for name in ("min_refused", "min_records"):
            if getattr(self, name) < 0:
                raise ValueError(f"Gates.{name} is a number of records, not {getattr(self, name)!r}")
        if self.fresh_within is not None and self.fresh_within <= timedelta():
            raise ValueError(f"Gates.fresh_within is a time span, not {self.fresh_within!r}")

    def are_too_many(self, refused: int, seen: int) -> bool:
        """Whether this number of refused records is beyond the limit."""
        return refused >= max(self.min_refused, 1) and refused > self.max_refused * seen


@dataclass(frozen=True, slots=True)
class GateFailure:
    """One gate that a read has missed: the gate, the read's figure, and the limit. The message is for operators."""

    gate: Reason
    figure: float
    limit: float
    message: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        return cls(**{**kept, "gate": Reason(kept["gate"])})


Verdict = Sequence[GateFailure]
"""The gates that a read has missed, the gravest first; empty if nothing was wrong."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last accepted read: its content, its number of records, and how many different stored records it found.

    `is_overruled`: an operator has accepted it although it had missed a gate.
    """

    content: str
    seen: int
    met: int
    is_overruled: bool = False

    def overrules(self, content: str) -> bool:
        """Whether an operator has accepted exactly this content."""
        return self.is_overruled and self.content == content


@dataclass(frozen=True, slots=True)
class Former:
    """The last accepted read, if there is one, and the fields of its records."""

    baseline: Baseline | None
    fields: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a finished read has counted. `is_whole`: only a whole read can be compared with the one before.

    `quarantined` are the broken records: those that wait for a row to which they refer say nothing about the read.
    `shift` says why its pages may have shifted while they were read; empty if they have not. `is_delta`: it has only
    what has changed, which may be nothing.
    """

    content: str
    seen: int
    quarantined: int
    is_whole: bool
    shift: str = ""
    is_delta: bool = False


def judge_read(gates: Gates, figures: Figures, baseline: Baseline | None) -> Verdict:
    """Return the verdict on a finished read."""
    if baseline is not None and baseline.overrules(figures.content):
        return ()
    failures = _find_failures(gates, figures, baseline if figures.is_whole else None)
    return tuple(sorted(failures, key=lambda failure: (*FAILING, *HOLDING).index(failure.gate)))


def _find_failures(gates: Gates, figures: Figures, baseline: Baseline | None) -> list[GateFailure]:
    failures = []
    if gates.are_too_many(figures.quarantined, figures.seen):
        failures.append(describe_refused(gates, figures.quarantined, figures.seen))
    if baseline is not None and baseline.seen and not figures.seen:
        failures.append(describe_empty(baseline))
    if figures.seen < gates.min_records and not figures.is_delta:
        text = f"The source sent {_count(figures.seen)}; it must send at least {gates.min_records:,} (min_records)."
        failures.append(GateFailure(Reason.TOO_FEW_RECORDS, figures.seen, gates.min_records, text))
    if baseline is not None and 0 < figures.seen < gates.min_kept * baseline.seen:
        failures.append(_describe_shrunken(gates, figures.seen, baseline.seen))
    if figures.shift:
        failures.append(_describe_shift(figures))
    return failures


def describe_empty(baseline: Baseline) -> GateFailure:
    """Return the failure of a read without any record."""
    text = f"The source sent no record; the last accepted read had {baseline.seen:,}. Nothing was removed."
    return GateFailure(Reason.SUDDENLY_EMPTY, 0, baseline.seen, text)


def describe_refused(gates: Gates, refused: int, seen: int, example: str = "") -> GateFailure:
    """Return the failure of a read of which too many records were refused; `example` is the reason of most of them."""
    text = f"{refused:,} of {_count(seen)} were refused; the limit is {_percent(gates.max_refused)} (max_refused)."
    return GateFailure(Reason.TOO_MANY_REFUSED, refused, gates.max_refused * seen, f"{text} {example}".strip())


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _describe_shrunken(gates: Gates, seen: int, before: int) -> GateFailure:
    text = (
        f"The source sent {_count(seen)}, fewer than {_percent(gates.min_kept)} of the {before:,} of the last accepted"
        " read (min_kept). Nothing is removed until the source sends different content or an operator accepts the read."
    )
    return GateFailure(Reason.SHRUNKEN, seen, gates.min_kept * before, text)


def _describe_shift(figures: Figures) -> GateFailure:
    text = (
        f"The pages shifted while they were read. {figures.shift} What was read has landed, and nothing was removed;"
        " the next run reads all pages."
    )
    return GateFailure(Reason.PAGES_SHIFTED, figures.seen, 0, text)


def has_shifted(verdict: Verdict) -> bool:
    """Whether the read may lack records because its pages have shifted."""
    return any(failure.gate == Reason.PAGES_SHIFTED for failure in verdict)


def judge_removals(gates: Gates, baseline: Baseline | None, *, kept: int, vanished: int) -> Verdict:
    """Return the verdict on a read that lacks `vanished` of the stored records, of which `kept` would be left."""
    former = baseline.met if baseline is not None else kept + vanished
    if not vanished or kept >= gates.min_kept * former:
        return ()
    text = (
        f"The source no longer sends {vanished:,} of the stored records. {kept:,} would be left, fewer than"
        f" {_percent(gates.min_kept)} of the {former:,} of the last accepted read (min_kept). Nothing is removed until"
        " the source sends different content or an operator accepts this read."
    )
    return (GateFailure(Reason.SHRUNKEN, kept, gates.min_kept * former, text),)


def judge_age(gates: Gates, age: timedelta) -> Verdict:
    """Return the verdict on content of this age, counted from its first read."""
    if gates.fresh_within is None or age <= gates.fresh_within:
        return ()
    hours, limit = age / timedelta(hours=1), gates.fresh_within / timedelta(hours=1)
    text = f"The content has not changed for {hours:,.1f} h, at most {limit:,.1f} h are allowed (fresh_within)."
    return (GateFailure(Reason.STALE, age.total_seconds(), gates.fresh_within.total_seconds(), text),)


def choose_status(verdict: Verdict) -> Status:
    """Return how the verdict makes a run end, apart from its refused records."""
    if not verdict:
        return Status.SUCCESS
    return Status.FAILED if verdict[0].gate in FAILING else Status.PARTIAL


def choose_outcome(verdict: Verdict) -> ReadOutcome:
    """Return the outcome of a read with this verdict."""
    outcomes = {
        Status.SUCCESS: ReadOutcome.ACCEPTED,
        Status.PARTIAL: ReadOutcome.HELD,
        Status.FAILED: ReadOutcome.FAILED,
    }
    return outcomes[choose_status(verdict)]


def _count(records: int) -> str:
    return f"{records:,} record" if records == 1 else f"{records:,} records"
