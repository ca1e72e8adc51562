"""`manage.py sweep`: do once what the sweeper does every minute."""

from typing import Any

from django.core.management.base import BaseCommand

from etl.execution.sweep import sweep
from etl.management.command_line import clear_database_errors


class Command(BaseCommand):
    help = "Create missing schedule entries, queue due runs, close abandoned runs and send unsent messages."

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_database_errors():
            sweep()
