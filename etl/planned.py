"""Statements that cost more to plan than to run, marked: the web process has each planned once a session."""

import hashlib


class Planned(str):
    """A statement with the placeholder %s alone. Whoever does not prepare it executes it like any other."""

    __slots__ = ("name", "prepared")

    def __init__(self, text: str) -> None:
        first, *others = text.split("%s")
        self.prepared = first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))
        """With PostgreSQL's own placeholders."""
        self.name = f"planned_{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
