"""`manage.py prune`: remove rows that are no longer needed."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from etl.conf import MOST_DAYS, conf
from etl.management.command_line import PipelineCommand, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.management.tables import print_table
from etl.pruning import BATCH, Policy, Pruned, prune, read_policy
from etl.reports.known_sources import list_known

COLUMNS = ("table", "source", "rows")


class Command(PipelineCommand):
    help = (
        "Remove superseded raw records, settled quarantine, old events and old runs."
        " Without any --…-older-than, the settings ETL_PRUNE_* apply; with one or more, only those."
        " Never removed: raw records that a unified record points to, open quarantine, the newest runs, and runs"
        " whose records are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        ages = {
            "raw": "raw records beyond --keep-versions",
            "quarantine": "refused records that are no longer open",
            "events": "events of closed runs",
            "runs": "closed runs beyond --keep-runs, with their events",
        }
        for name, what in ages.items():
            parser.add_argument(
                f"--{name}-older-than", type=_parse_days, metavar="DAYS", dest=f"{name}_days", help=what
            )
        for name, default, what in (
            ("--keep-versions", conf.ETL_PRUNE_KEEP_VERSIONS, "versions of each record"),
            ("--keep-runs", conf.ETL_PRUNE_KEEP_RUNS, "runs of each source"),
        ):
            text = f"number of {what} to keep regardless of age (default {default})"
            parser.add_argument(name, type=_parse_count, metavar="N", default=default, help=text)
        parser.add_argument("--source", help="only rows of this source")
        parser.add_argument("--batch", type=_parse_count, default=BATCH, help=f"rows per transaction (default {BATCH})")
        parser.add_argument("--dry-run", action="store_true", help="only report what would be removed; takes no lock")

    def handle(self, *args: Any, source: str | None, batch: int, dry_run: bool, **options: Any) -> None:
        with clear_database_errors():
            policy, sources = _choose_policy(**options), _choose_sources(source)
            pruned = prune(policy, sources=sources, batch=batch, is_dry_run=dry_run)
        self._show(pruned, "would be removed" if dry_run else "were removed")
        if pruned.left:
            sys.exit(ExitStatus.FAILED)

    def _show(self, pruned: Pruned, fate: str) -> None:
        rows = [(*place, f"{count:,}") for place, count in sorted(pruned.rows.items()) if count]
        if rows:
            print_table(COLUMNS, rows, numbers=("rows",))
        self.stdout.write(f"{pruned.rows.total():,} rows {fate}.")
        for source, why in pruned.left.items():
            self.stderr.write(f"{source} was not pruned completely: {why}.")


def _choose_policy(keep_versions: int, keep_runs: int, **options: Any) -> Policy:
    given = {name: options[name] for name in ("raw_days", "quarantine_days", "events_days", "runs_days")}
    if all(days is None for days in given.values()):
        configured = read_policy()
        given = {name: getattr(configured, name) for name in given}
    return Policy(**given, keep_versions=keep_versions, keep_runs=keep_runs)


def _choose_sources(source: str | None) -> Sequence[str]:
    known = list_known()
    if source is not None and source not in known:
        message = f"Nothing is stored for {source!r}. Known sources: {', '.join(known)}."
        raise CommandError(message, returncode=ExitStatus.USAGE)
    return known if source is None else [source]


def _parse_days(text: str) -> int:
    if (days := _parse_count(text)) > MOST_DAYS:
        raise ArgumentTypeError(f"{text!r} is more than {MOST_DAYS:,} days")
    return days


def _parse_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
