"""Defines each setting of the API once, as etl/conf.py does for the pipeline. A project sets only those that differ."""

from ipaddress import ip_network
from typing import Any

from etl.conf import Setting, boolean, choice, items, list_settings_of, rate, seconds


class Settings:
    """All settings of the API, by name."""

    API_THROTTLE_TOKEN = rate("1200/minute", "Requests of one token or user.")
    API_THROTTLE_ADDRESS = rate("120/minute", "Requests of one address without a token.")
    API_THROTTLE_LOGIN = rate("10/5 minutes", "Failed logins of a user name at an address.")
    API_THROTTLE_LOGIN_ADDRESS = rate("50/5 minutes", "Failed logins of an address.")
    API_STATEMENT_SECONDS = seconds(5, "The service's web process ends a query that takes longer.", least=0.1)
    API_STATS_SECONDS = seconds(1, "How old the figures of /stats may be; 0: read with each request.")
    API_DOCS_OPEN = boolean("Whether anyone may read the API docs.", default=False)
    METRICS_ACCESS = choice("token", ("token", "private"), "`private` opens /metrics to private addresses.")
    TRUSTED_PROXIES = items(
        (),
        "The proxies whose X-Forwarded-For and -Proto are believed.",
        fits_item=ip_network,
        hint="Use addresses or networks such as 10.0.0.0/8, separated by commas.",
    )


conf = Settings()


def list_settings() -> list[Setting[Any]]:
    """Return every setting, in the order of definition."""
    return list(list_settings_of(Settings))
