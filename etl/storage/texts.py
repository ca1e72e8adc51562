"""Texts that may quote what came from outside, made fit for PostgreSQL."""


def make_storable(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL characters and lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
