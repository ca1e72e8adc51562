"""Keeps credentials out of the states of a walk, which the checkpoint stores. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, unquote_plus, urlsplit, urlunsplit

from etl.http.masking import write_spellings
from etl.http.pages import State
from etl.http.request import Request


def hide(state: State, request: Request, signed: Request) -> State:
    """Return the state without credentials: keys that were added to the query, and secrets of the path.

    `signed` is the request as it was sent, with its credentials.
    """
    if "url" in state and (added := _list_names(signed.url) - _list_names(request.url)):
        parts = urlsplit(state["url"])
        pairs = [pair for pair in parts.query.split("&") if unquote_plus(pair.partition("=")[0]) not in added]
        state = {"url": urlunsplit(parts._replace(query="&".join(pairs)))}
    return _hide_secrets(state, request.secrets)


def _hide_secrets(state: State, secrets: Sequence[str]) -> State:
    """Put a stand-in for each secret in whatever spelling, the longest first."""
    numbers = [number for number, secret in enumerate(secrets) if secret]
    if not numbers:
        return state
    numbers.sort(key=lambda number: len(quote(secrets[number], safe="")), reverse=True)
    spelled = "|".join(f"(?P<secret{number}>{write_spellings(secrets[number])})" for number in numbers)

    def stand_in(found: re.Match[str]) -> str:
        number = int(str(found.lastgroup).removeprefix("secret"))
        return f"{{secret {number}{_name_spelling(secrets[number], found[0])}}}"

    return _replace(state, re.compile(spelled), stand_in)


def reveal(state: State, secrets: Sequence[str]) -> State:
    """Return the state with the secrets of the path, each spelled as it was."""

    def spell(found: re.Match[str]) -> str:
        number, spelling = int(found[1]), found[2]
        if number >= len(secrets) or not secrets[number]:
            return found[0]
        if spelling in _SPELLINGS:
            return _SPELLINGS[spelling](secrets[number])
        return _spell_bytes(secrets[number], spelling.removeprefix(_BY_BYTES))

    return _replace(state, _STAND_IN, spell)


def _replace(state: State, former: re.Pattern[str], make: Callable[[re.Match[str]], str]) -> State:
    return {name: former.sub(make, value) if isinstance(value, str) else value for name, value in state.items()}


def _name_spelling(secret: str, spelled: str) -> str:
    """Return what the stand-in adds for this spelling: its name, or a digit for each byte."""
    named = next((name for name, spell in _SPELLINGS.items() if spell(secret) == spelled), None)
    if named is not None:
        return named
    found = re.fullmatch(write_spellings(secret), spelled)
    assert found is not None
    codes = zip(secret.encode(), found.groups(default=""), strict=True)
    return _BY_BYTES + "".join(str(_list_codes(byte).index(code)) for byte, code in codes)


def _spell_bytes(secret: str, digits: str) -> str:
    """Return the secret in the spelling with these digits, or quoted if they are those of another secret."""
    if len(secret.encode()) != len(digits):
        return quote(secret, safe="")
    given = map(int, digits)
    return "".join("".join(_list_codes(byte)[next(given)] for byte in letter.encode()) or letter for letter in secret)


def _list_codes(byte: int) -> Sequence[str]:
    """Return how a byte may be written, by the digit for it; the first one is that its character stands for itself."""
    high, low = f"{byte >> 4:X}", f"{byte & 15:X}"
    return "", "+", f"%{high}{low}", f"%{high}{low}".lower(), f"%{high.lower()}{low}", f"%{high}{low.lower()}"


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "": str,
    " quoted": lambda secret: quote(secret, safe=""),
    " of a path": quote,
}
"""How addresses usually spell a secret, by what its stand-in adds: such a name tells nothing about the secret."""
_BY_BYTES = " by bytes "
_STAND_IN = re.compile(rf"\{{secret ([0-9]+)({'|'.join(_SPELLINGS)}|{_BY_BYTES}[0-5]+)\}}")


def _list_names(url: str) -> set[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
