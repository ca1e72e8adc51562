"""Django's PostgreSQL backend for development: a connection to a server that is down starts it first.

So the first command, worker or web process starts the servers, and none of them needs to know.
"""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """As its parent, but `get_new_connection` first makes sure that the embedded servers answer."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        settings.EMBEDDED_SERVERS.start_missing()
        try:
            return super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            settings.EMBEDDED_SERVERS.start_missing(is_recovering=True)  # it answers, but takes no queries yet
            return super().get_new_connection(conn_params)
