"""Addresses for messages and rate limits, without anything that may be a credential."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from etl.http.masking import mask_segments


def hide_secrets(url: str, secrets: Iterable[str] = ()) -> str:
    """Return the URL for display, without user, password, query and fragment, each of which may be a credential.

    `secrets` are those that the path contains; `***` takes their place.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if a password with an unescaped / or ? is parsed as host and port
    except ValueError:
        return "(no usable address)"
    return mask_segments(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", secrets)


def find_host(url: str) -> str:
    """Return the host of the URL, or an empty string if it has no host (the request then fails)."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
