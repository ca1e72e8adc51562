"""Makes strings that may quote a source's content fit for PostgreSQL."""


def make_storable(text: str) -> str:
    """Replace the characters that PostgreSQL refuses: NUL characters and lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
