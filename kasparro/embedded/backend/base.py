"""Django's PostgreSQL backend for development: connecting starts the embedded servers if they are down.

So the first command, worker or web process starts them without any code of its own.
"""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Like its parent, but `get_new_connection` first makes sure that the embedded servers respond."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        settings.EMBEDDED_SERVERS.start_missing()
        try:
            return super().get_new_connection(conn_params)
        except self.Database.OperationalError:
            settings.EMBEDDED_SERVERS.start_missing(is_recovering=True)  # it responds, but accepts no queries yet
            return super().get_new_connection(conn_params)
