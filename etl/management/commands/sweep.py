"""`manage.py sweep`: what the sweeper does each minute, once and now."""

from typing import Any

from django.core.management.base import BaseCommand

from etl.execution.sweep import sweep
from etl.management.command_line import clear_database_errors


class Command(BaseCommand):
    help = "Make missing schedule entries, queue due runs, close abandoned ones and send what has not been sent."

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_database_errors():
            sweep()
