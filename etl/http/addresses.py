"""Addresses for messages and rate limits: without what may be a credential."""

from urllib.parse import urlsplit


def hide_secrets(url: str) -> str:
    """The URL for people: without user, password, query and fragment, any of which may be a credential."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # a password with an unescaped / or ? passes for host and port: then nothing is shown
    except ValueError:
        return "(no usable address)"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def find_host(url: str) -> str:
    """The host of the URL; empty where it has none: asking will tell."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
