"""`manage.py servers start|stop|status`: the embedded PostgreSQL and Valkey."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Start, stop or show the embedded PostgreSQL and Valkey (used if DATABASE_URL or REDIS_URL is unset)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("start", "stop", "status"))

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        servers = settings.EMBEDDED_SERVERS
        if action == "start":
            servers.start()
        elif action == "stop":
            servers.stop()
        is_up = self._show(servers)
        if action == "status" and not is_up:
            sys.exit(1)

    def _show(self, servers: Any) -> bool:
        used = servers.list_used()
        for server in used:
            status = f"running, pid {server.find_process()}" if server.answers() else "stopped"
            self.stdout.write(f"{server.name}: {status} ({server.socket})")
        if servers.runs_postgresql:
            self.stdout.write(f"DATABASE_URL={servers.database_url()}")
        if servers.runs_valkey:
            self.stdout.write(f"REDIS_URL={servers.redis_url()}")
        if not used:
            self.stdout.write("DATABASE_URL and REDIS_URL are set, so no embedded server is used.")
        return all(server.answers() for server in used)
