"""Compares two runs: their figures, the differences, and notes on the ones that matter."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etl.clock import write_time
from etl.models import Run, SchemaSnapshot
from etl.vocabulary import COUNTERS, Status

FEWER_RECORDS = 0.5
SLOWER = 2.0
SHORTEST_SECONDS = 1.0
"""The durations of two runs that are both shorter are not compared."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of runs `a` and `b` by name; `differences` by name, with b - a and b / a; `notes` in words."""

    a: dict[str, Any]
    b: dict[str, Any]
    differences: dict[str, dict[str, Any]]
    notes: list[str]


def compare_runs(a: Run, b: Run) -> Comparison:
    """Compare two runs. The earlier one comes first; the other is measured against it."""
    shape_a, shape_b = _find_shape(a), _find_shape(b)
    figures_a, figures_b = _describe(a, shape_a), _describe(b, shape_b)
    differences = {
        name: _subtract(figures_a[name], figures_b[name])
        for name in (*COUNTERS, "duration_s", "records_per_s")
        if figures_a[name] != figures_b[name]
    }
    differences |= {
        name: {"a": figures_a[name], "b": figures_b[name]}
        for name in ("source", "status", "reason", "trigger", "snapshot")
        if figures_a[name] != figures_b[name]
    }
    shape = _compare_shapes(shape_a, shape_b)
    if shape:
        differences["shape"] = shape
    return Comparison(figures_a, figures_b, differences, list(_find_notes(figures_a, figures_b, shape)))


def _describe(run: Run, shape: SchemaSnapshot | None) -> dict[str, Any]:
    return {
        **{name: getattr(run, name) for name in ("id", "source", "status", "reason", "trigger")},
        "options": run.options,
        "started_at": write_time(run.started_at),
        "duration_s": run.duration_s,
        "records_per_s": round(run.seen / run.duration_s, 1) if run.duration_s else None,
        **{name: getattr(run, name) for name in COUNTERS},
        "snapshot": shape.number if shape is not None else None,
        "shape": shape.shape["fields"] if shape is not None else None,
    }


def _find_shape(run: Run) -> SchemaSnapshot | None:
    """Return the source's snapshot as the run left it, or the newest if the run has not ended."""
    snapshots = SchemaSnapshot.objects.filter(source=run.source).order_by("-number")
    if run.finished_at is not None:
        snapshots = snapshots.filter(created_at__lte=run.finished_at)
    return snapshots.first()


def _subtract(a: float | None, b: float | None) -> dict[str, Any]:
    if a is None or b is None:
        return {"a": a, "b": b, "difference": None, "ratio": None}
    return {"a": a, "b": b, "difference": round(b - a, 3), "ratio": round(b / a, 3) if a else None}


def _compare_shapes(a: SchemaSnapshot | None, b: SchemaSnapshot | None) -> dict[str, Any]:
    before: dict[str, Any] = a.shape["fields"] if a is not None else {}
    after: dict[str, Any] = b.shape["fields"] if b is not None else {}
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return {path: {"a": before.get(path), "b": after.get(path)} for path in paths}


def _find_notes(a: dict[str, Any], b: dict[str, Any], shape: dict[str, Any]) -> Iterator[str]:
    if a["source"] != b["source"]:
        yield f"The runs are of different sources: {a['source']} and {b['source']}."
    if a["status"] != b["status"]:
        yield f"The status went from {a['status']} to {b['status']}."
    if a["seen"] and b["seen"] <= a["seen"] * FEWER_RECORDS:
        yield f"Records fell by {1 - b['seen'] / a['seen']:.0%}: {a['seen']:,} to {b['seen']:,}."
    longest = max(a["duration_s"] or 0, b["duration_s"] or 0)
    if a["duration_s"] and b["duration_s"] and longest >= SHORTEST_SECONDS:
        ratio = b["duration_s"] / a["duration_s"]
        if ratio >= SLOWER:
            yield f"It took {ratio:.1f} times as long: {a['duration_s']:.1f} s to {b['duration_s']:.1f} s."
    if b["quarantined"] > a["quarantined"]:
        yield f"More records were refused: {a['quarantined']:,} to {b['quarantined']:,}."
    for name, run in (("a", a), ("b", b)):
        if run["status"] == Status.SUCCESS and not run["seen"]:
            yield f"Run {run['id']} ({name}) succeeded and saw no record{_explain_nothing(run)}."
    if shape:
        yield f"The source's shape differs in {', '.join(list(shape)[:10])}{' …' if len(shape) > 10 else ''}."


def _explain_nothing(run: dict[str, Any]) -> str:
    return ": its content was unchanged" if run["reason"] == "unchanged" else ""
