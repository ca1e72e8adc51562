"""The wording of alerts: a subject and a text for operators, without any secret."""

from collections.abc import Sequence
from typing import Any

from etl.clock import as_utc, write_time
from etl.models import Run
from etl.runs.reason_advice import find_advice
from etl.runs.standings import Found
from etl.vocabulary import COUNTERS, AlertKind

RUNBOOK = "docs/runbook.md"


def describe(
    kind: AlertKind, source: str, run: Run | None, previous: Run | None, found: Found | None
) -> tuple[str, str]:
    """Return subject and text of an alert about a source's standing, after this run or as the sweeper found it."""
    if kind is AlertKind.FAILING and run is not None:
        return _describe_failure(run)
    subject, sentence = _SENTENCES[kind]
    lines = [sentence.format(source=source)]
    if kind is AlertKind.LATE and found is not None and found.lag_s is not None:
        lines.append(f"The first due time without a successful run was {found.lag_s / 60:.0f} minutes ago.")
    if kind is AlertKind.RECOVERED and previous is not None and previous.reason:
        lines.append(f"The run before it was run {previous.pk} ({previous.status}, {previous.reason}).")
    verdict = [f"- {each['message']}" for each in run.verdict if "message" in each] if run is not None else []
    more = ["", *_list_columns(run)] if run is not None else []
    return subject.format(source=source), "\n".join([*lines, *verdict, *more, "", _HELP])


def describe_drift(run: Run, changes: Sequence[str]) -> tuple[str, str]:
    """Return subject and text of the alert about changes of a source's shape."""
    listed = [f"- {change}" for change in changes]
    text = [f"The fields or types that {run.source} sends have changed:", *listed, "", *_list_columns(run), "", _HELP]
    return f"The shape of {run.source} has changed", "\n".join(text)


def describe_run(run: Run) -> dict[str, Any]:
    """Return the run's part of the JSON that webhooks get."""
    return {
        "id": run.pk,
        "trigger": run.trigger,
        "attempt": run.attempt,
        "status": run.status,
        "reason": run.reason,
        "error": run.error,
        "verdict": run.verdict,
        "finished_at": write_time(run.finished_at),
        **{name: getattr(run, name) for name in COUNTERS},
    }


_HELP = f"For the meaning of each standing, see {RUNBOOK}#standings."
_SENTENCES = {
    AlertKind.FAILING: (
        "{source} is failing",
        "{source} is failing. You will get no further alert until that changes.",
    ),
    AlertKind.RECOVERED: ("{source} has recovered", "{source} has recovered: its runs succeed again."),
    AlertKind.REFUSING: (
        "{source} has refused records",
        "{source} is read, but some of its records violate the contract and are open in quarantine.",
    ),
    AlertKind.LATE: ("{source} is late", "{source} was due, and no run of it has succeeded since."),
    AlertKind.HELD: (
        "A read of {source} needs a decision",
        "The last read of {source} looks wrong. An operator must accept it, or the source must send different content.",
    ),
}


def _describe_failure(run: Run) -> tuple[str, str]:
    advice = find_advice(run.reason)
    lines = (
        f"{run.source} is failing. You will get no further alert about it until it recovers.",
        "",
        *_list_columns(run),
        "",
        *([f"{advice.cause} {advice.remedy}"] if advice is not None else []),
        f"For help, see {RUNBOOK}#{run.reason}. For the run's events, use: manage.py runs {run.pk}",
    )
    return f"{run.source} is failing: {run.reason}", "\n".join(lines)


def _list_columns(run: Run) -> list[str]:
    counts = ", ".join(f"{getattr(run, name):,} {name}" for name in COUNTERS)
    closed = f"{as_utc(run.finished_at):%Y-%m-%d %H:%M:%S} UTC" if run.finished_at else ""
    values = {
        "source": run.source,
        "run": f"{run.pk} ({run.trigger}, attempt {run.attempt})",
        "status": run.status,
        "reason": run.reason,
        "closed": closed,
        "error": run.error,
        "records": counts,
    }
    return [f"{name + ':':<9}{value}" for name, value in values.items() if value]
