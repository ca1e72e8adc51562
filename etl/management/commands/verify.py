"""`manage.py verify`: check that there are no orphans, all stored counts are correct, law 4 holds, targets agree."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from etl.fence.counts import repair_counts
from etl.management.command_line import PipelineCommand, clear_database_errors
from etl.management.exit_status import ExitStatus
from etl.reports.verification import verify
from etl.storage.totals import repair_totals


class Command(PipelineCommand):
    help = "Check for orphans, and check stored counts, totals and run counters. Exit status 1 if something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="recount the stored counts")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        with clear_database_errors():
            findings = verify()
            for finding in findings:
                self.stdout.write(finding.message)
            if repair and any(finding.is_count for finding in findings):
                repair_counts()
                repair_totals()
                findings = verify()
                self.stdout.write("The stored counts were recounted.")
        if any(not finding.is_note for finding in findings):
            sys.exit(ExitStatus.FAILED)
        self.stdout.write("OK: no orphans, all stored counts are correct, and every run's counters add up.")
