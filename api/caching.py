"""What caches may do with a response: nothing, because it depends on who asks and when."""

from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers

VARY = ("Accept", "Authorization", "Cookie", "X-API-Key")
"""The headers of a request on which a response depends."""


def keep_from_caches(response: HttpResponseBase) -> None:
    """Forbid every cache to keep the response. `Vary` protects the clients of a cache that keeps it nevertheless."""
    response.headers["Cache-Control"] = "private, no-store"
    patch_vary_headers(response, VARY)
