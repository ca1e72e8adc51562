"""Field types of addresses and ids with a form of their own: e-mail, URL, UUID. Pure."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from etl.contracts.field_type import FieldType, show_value
from etl.contracts.forms import Form
from etl.contracts.texts import TEXT
from etl.records import Breach
from etl.vocabulary import BreachCode

LONGEST_EMAIL = 254
LONGEST_URL = 2000
_ATOM = r"""[^\s@.,:;<>()\[\]\\"]+"""
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})+")
_NO_URL = re.compile(r"""[\s<>"\\^`{|}\x00-\x1f\x7f]""")
_UUID = re.compile(r"(?:urn:uuid:)?\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)


@dataclass(frozen=True)
class EmailType(FieldType):
    """An e-mail address such as ann@example.org, kept as it was sent, without the blanks around it."""

    name = "email"

    def parse(self, value: Any, form: Form) -> str | Breach:
        text = TEXT.parse(value, form)
        if isinstance(text, Breach) or (len(text) <= LONGEST_EMAIL and _EMAIL.fullmatch(text)):
            return text
        return Breach(BreachCode.NOT_AN_EMAIL, f"must be an e-mail address, not {show_value(value)}")

    def write(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class UrlType(FieldType):
    """An address with one of the `schemes` and a host, kept as it was sent, without the blanks around it."""

    schemes: tuple[str, ...] = ("http", "https")

    name = "url"

    def __post_init__(self) -> None:
        if isinstance(self.schemes, str) or not all(isinstance(scheme, str) for scheme in self.schemes):
            raise TypeError('schemes is a list of words: schemes=["https"]')

    def parse(self, value: Any, form: Form) -> str | Breach:
        text = TEXT.parse(value, form)
        if isinstance(text, Breach) or self._is_url(text):
            return text
        schemes = " or ".join(f"{scheme}://" for scheme in self.schemes)
        return Breach(BreachCode.NOT_A_URL, f"must be a URL that begins with {schemes}, not {show_value(value)}")

    def _is_url(self, text: str) -> bool:
        if len(text) > LONGEST_URL or _NO_URL.search(text):
            return False
        try:
            parts = urlsplit(text)
            return parts.scheme in self.schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:  # a port that is not a number, or a bad IPv6 address
            return False

    def write(self, value: str) -> str:
        return value


@dataclass(frozen=True)
class UuidType(FieldType):
    """A UUID, in any of its spellings; its canonical text has hyphens and lower case."""

    name = "uuid"

    def parse(self, value: Any, form: Form) -> UUID | Breach:
        if not isinstance(value, str):
            return Breach(BreachCode.NOT_A_UUID, f"must be a UUID, not {show_value(value)}")
        text = value.strip()
        if not text:
            return Breach(BreachCode.BLANK, "is blank")
        if not _UUID.fullmatch(text) or (text[-1] == "}") != ("{" in text):
            return Breach(BreachCode.NOT_A_UUID, f"must be a UUID, not {show_value(value)}")
        return UUID(text)


Email = Annotated[str, EmailType()]
Url = Annotated[str, UrlType()]
Uuid = Annotated[UUID, UuidType()]
