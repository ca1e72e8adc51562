"""`manage.py verify`: prove that nothing is orphaned, each kept count is true, and law 4 holds."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from etl.fence.counts import repair_counts
from etl.management.command_line import ExitStatus, clear_database_errors
from etl.reports.verification import verify
from etl.storage.totals import repair_totals


class Command(BaseCommand):
    help = "Check orphans, kept counts, totals and run counters. Exit status 1 if something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="count the kept counts anew")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        with clear_database_errors():
            findings = verify()
            for finding in findings:
                self.stdout.write(finding.message)
            if repair and any(finding.is_count for finding in findings):
                repair_counts()
                repair_totals()
                findings = verify()
                self.stdout.write("The kept counts were counted anew.")
        if findings:
            sys.exit(ExitStatus.FAILED)
        self.stdout.write("Sound: no orphans, every kept count is true, every run's counters add up.")
