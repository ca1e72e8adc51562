"""Shows the text of a body in a message: cleaned, in one line and short. Pure."""

import re
from collections.abc import Callable

EXCERPT_BYTES = 4096
"""The beginning of a body from which an excerpt is made."""

MOST_CHARACTERS = 200
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)


def make_excerpt(head: bytes, mask: Callable[[str], str] = str) -> str:
    """Return the beginning of a text, or of a page's title or text; empty for other content.

    `mask` hides secrets in the text before it is shortened.
    """
    if b"\0" in head or b"\x1f\x8b" in head[:2]:
        return ""
    text = head.decode(errors="replace").removeprefix("\ufeff").strip()
    if text.startswith("<"):
        title = _TITLE.search(text)
        text = title[1] if title and title[1].strip() else _UNSEEN.sub(" ", text)
    seen = "".join(letter for letter in text if letter.isprintable() or letter.isspace())
    masked = mask(seen)  # control characters must not hide a secret
    return shorten(text if masked == seen else masked)


def shorten(text: str) -> str:
    """Return the text in one line of at most 200 characters, without control characters."""
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    line = " ".join(words)
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"
