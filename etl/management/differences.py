"""Shows what a run would change: as tables, or as one JSON object."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from etl.dry_run import KINDS, Difference, Example
from etl.management.tables import clean, print_table
from etl.readers.source import Source
from etl.records import Refusal
from etl.runs.ending import judged as choose_ending
from etl.vocabulary import Status

SIGNS = {None: "–", "": "''"}
"""How values are shown of which nothing would be seen."""


def show_difference(source: Source, found: Difference, write: Callable[[str], Any]) -> None:
    """Print examples of each kind, refused records, and all counts."""
    if found.file:
        write(clean(f"The first file that a run would read: {found.file}") + "\n")
    examples = [example for kind in KINDS for example in found.examples.get(kind, [])]
    if examples:
        columns = ("would be", "record", "row", "field", "now", "then")
        print_table(columns, [line for example in examples for line in _list_lines(example)])
    if found.refused:
        write("\nRefused:")
        rows = [
            (each.position, each.line, each.breach.column, each.breach.code, each.breach.message)
            for each in found.refused
        ]
        print_table(("record", "line", "column", "code", "message"), rows)
    write(f"\n{_describe_place(source)}: {_describe_counts(found)}.")
    if len(found.reasons) > 1 or found.quarantined > len(found.refused):
        reasons = [(each.first.breach.code, each.first.breach.column, each.count) for each in _list_reasons(found)]
        print_table(("code", "column", "records"), reasons, numbers=("records",))
    for text in _list_remarks(found):
        write(clean(text))
    status, reason = judge_end(found)
    write(f"A run would end {status}{f' ({reason})' if reason else ''}. Nothing was written.")


def _list_lines(example: Example) -> Iterator[Sequence[object]]:
    about = (example.kind, example.external_id, example.key)
    if not example.changes:
        yield (*about, "", "", "")
    for each in example.changes:
        yield (*about, each.field, SIGNS.get(each.before, each.before), SIGNS.get(each.after, each.after))
        about = ("", "", "")


def _describe_place(source: Source) -> str:
    if source.into is None:
        return "Unified records"
    return f"{source.into.label}, by {', '.join(source.into.key_fields)}"


def _describe_counts(found: Difference) -> str:
    counts = [f"{found.counts[kind]:,} {kind}" for kind in KINDS if found.counts[kind]]
    others = {"duplicate": found.duplicates, "skipped": found.skipped, "refused": found.quarantined}
    counts += [f"{count:,} {name}" for name, count in others.items() if count]
    read = f"{found.seen:,} {'record' if found.seen == 1 else 'records'} read"
    return f"{read}: {', '.join(counts)}" if counts else read


def _list_reasons(found: Difference) -> Sequence[Any]:
    return sorted(found.reasons.values(), key=lambda each: -each.count)


def _list_remarks(found: Difference) -> Iterator[str]:
    if found.held:
        yield found.held
    if found.error is not None:
        yield f"The run would stop there: {found.error}"
    for failure in found.verdict:
        yield f"{failure.gate}: {failure.message}"


def judge_end(found: Difference) -> tuple[str, str]:
    """Return the status and the reason with which a run would end."""
    if found.error is not None and not found.verdict:
        return Status.FAILED, found.error.reason
    ended = choose_ending(found.verdict, found.quarantined, found.waiting)
    return ended.status, ended.reason


def describe_difference(source: Source, found: Difference) -> dict[str, Any]:
    """Return the difference as one JSON object; docs/sources.md describes it."""
    status, reason = judge_end(found)
    return {
        "source": source.name,
        "location": source.location,
        "file": found.file,
        "target": source.into.label if source.into is not None else None,
        "counts": {
            "seen": found.seen,
            **{kind: found.counts[kind] for kind in KINDS},
            "duplicate": found.duplicates,
            "skipped": found.skipped,
            "quarantined": found.quarantined,
        },
        "records": [_describe_example(each) for kind in KINDS for each in found.examples.get(kind, [])],
        "refused": [describe_refusal(each) for each in found.refused],
        "codes": [{"records": each.count, **describe_refusal(each.first)} for each in _list_reasons(found)],
        "verdict": [failure.as_json() for failure in found.verdict],
        "held": found.held,
        "error": str(found.error or ""),
        "status": status,
        "reason": reason,
    }


def _describe_example(example: Example) -> dict[str, Any]:
    changes = [{"field": each.field, "before": each.before, "after": each.after} for each in example.changes]
    return {"kind": example.kind, "external_id": example.external_id, "key": example.key, "fields": changes}


def describe_refusal(refusal: Refusal) -> dict[str, Any]:
    """Return a refused record with its place and reason, as JSON."""
    breach = refusal.breach
    return {
        "record": refusal.position,
        "line": refusal.line,
        "column": breach.column,
        "code": breach.code,
        "message": breach.message,
    }
