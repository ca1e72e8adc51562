"""`manage.py sweep`: do once what the sweeper does every minute."""

from typing import Any

from etl.execution.sweep import sweep
from etl.management.command_line import PipelineCommand, clear_database_errors


class Command(PipelineCommand):
    help = "Create missing schedule entries, queue due runs, close abandoned runs and send unsent messages."

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_database_errors():
            sweep()
