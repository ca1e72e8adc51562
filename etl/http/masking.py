"""Finds what a request sends in confidence, and masks it in what servers and libraries say, and in our messages."""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "***"
LEAST_CHARACTERS = 4
"""A shorter value protects nothing, and its letters are in most words: masking it would make a text unreadable."""

_HARMLESS_HEADERS = frozenset(
    {
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection"),
        *("content-encoding", "content-language", "content-type", "pragma", "prefer", "user-agent"),
    }
)
_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "token"})


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace the secrets in the text, in every spelling in which a server may echo them.

    A text that ends within a secret loses that part too, so that a body may be cut before it is masked.
    """
    secrets = {secret for secret in secrets if len(secret) >= LEAST_CHARACTERS}
    spellings = {spelling for secret in secrets for spelling in _spell(secret)}
    if not spellings:
        return text
    lengths = {re.escape(spelling): len(spelling) for spelling in spellings}
    lengths |= {write_spellings(secret): len(quote(secret, safe="")) for secret in secrets}
    longest_first = sorted(lengths, key=lengths.__getitem__, reverse=True)
    text = re.sub("|".join(longest_first), MASK, text, flags=re.IGNORECASE)
    cut = max(_measure_cut(text, spelling) for spelling in spellings)
    return text[:-cut] + MASK if cut else text


def _measure_cut(text: str, secret: str) -> int:
    """Return with how many of the secret's first characters the text ends; 0 for less than half of them."""
    lengths = range(min(len(secret), len(text)), max(LEAST_CHARACTERS, len(secret) // 2) - 1, -1)
    return next((length for length in lengths if text.lower().endswith(secret[:length].lower())), 0)


def mask_segments(url: str, secrets: Iterable[str]) -> str:
    """Like `mask`, for our own address: a short secret is replaced too, where it is a whole segment of the path."""
    secrets = tuple(secrets)
    for secret in secrets:
        if 0 < len(secret) < LEAST_CHARACTERS:
            url = re.sub(f"(?<=/){write_spellings(secret)}(?=/|$)", MASK, url)
    return mask(url, secrets)


def find_secrets(url: str, headers: Mapping[str, str]) -> frozenset[str]:
    """Return what the address and the headers hold in confidence: user, password, values of query and headers."""
    return frozenset((*_find_in_url(url), *_find_in_headers(headers)))


def _find_in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    userinfo, _, _ = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    yield from (userinfo, unquote(userinfo), user, unquote(user), password, unquote(password))
    yield parts.query
    yield parts.fragment
    for pair in parts.query.split("&"):
        name, equals, value = pair.partition("=")
        yield value if equals else name
    yield from (value for _, value in parse_qsl(parts.query))


def _find_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if name.lower() in _HARMLESS_HEADERS:
            continue
        yield value
        for word in re.split(r"[\s;,]+", value):  # `Bearer KEY`; `a=KEY; b=KEY`
            if word.lower() not in _SCHEMES:
                yield word
                yield word.partition("=")[2].strip('"')
                yield from _decode(word)


def _decode(word: str) -> Iterator[str]:
    """Yield user and password if the word is those of `Authorization: Basic`."""
    with suppress(binascii.Error, ValueError):
        user, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
        if colon:
            yield from (f"{user}:{password}", user, password)


def write_spellings(secret: str) -> str:
    """Return the expression of every spelling of the secret in an address, where any byte may be percent-encoded.

    It has a group for each byte, which finds the code of the byte, or nothing if the character stands for itself.
    """
    letters = ((letter, "".join(map(_write_codes, letter.encode()))) for letter in secret)
    return "".join(f"(?:{codes}|{re.escape(letter)})" for letter, codes in letters)


def _write_codes(byte: int) -> str:
    code = "".join(f"[{digit}{digit.lower()}]" if digit.isalpha() else digit for digit in f"{byte:02X}")
    return rf"(\+|%{code})" if byte == ord(" ") else f"(%{code})"


def _spell(secret: str) -> Iterator[str]:
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    in_json = json.dumps(secret)[1:-1]
    yield from (html.escape(secret), in_json, in_json.replace("/", "\\/"))
    content = secret.encode(errors="surrogateescape")
    for encoded in (base64.b64encode(content), base64.urlsafe_b64encode(content)):
        yield encoded.decode()
        yield encoded.decode().rstrip("=")
