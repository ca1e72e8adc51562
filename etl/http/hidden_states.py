"""Keeps credentials out of the states of a walk, which the checkpoint stores. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from etl.http.pages import State
from etl.http.request import Request


def hide(state: State, request: Request, signed: Request) -> State:
    """Return the state without credentials: keys that were added to the query, and secrets of the path.

    `signed` is the request as it was sent, with its credentials.
    """
    if "url" in state and (added := _list_names(signed.url) - _list_names(request.url)):
        parts = urlsplit(state["url"])
        pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in added]
        state = {"url": urlunsplit(parts._replace(query=urlencode(pairs)))}
    texts = _list_stand_ins(request.secrets)
    return _replace(state, {spelled: stand_in for stand_in, spelled in reversed(texts.items())})


def reveal(state: State, secrets: Sequence[str]) -> State:
    """Return the state with the secrets of the path, each spelled as it was."""
    return _replace(state, _list_stand_ins(secrets))


def _list_stand_ins(secrets: Sequence[str]) -> dict[str, str]:
    """Return each secret in all spellings of an address, by what stands for it."""
    return {
        f"{{secret {number}{spelling}}}": spell(secret)
        for number, secret in enumerate(secrets)
        if secret
        for spelling, spell in _SPELLINGS.items()
    }


def _replace(state: State, texts: Mapping[str, str]) -> State:
    """Replace these texts, the longest first, and none in what was put in the place of another one."""
    if not texts:
        return state
    former = re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))))
    return {
        name: former.sub(lambda found: texts[found[0]], value) if isinstance(value, str) else value
        for name, value in state.items()
    }


def _write_lower(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), text)


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "": str,
    " quoted": lambda secret: quote(secret, safe=""),
    " of a path": quote,
    " of a query": quote_plus,
    " quoted in lower case": lambda secret: _write_lower(quote(secret, safe="")),
    " of a path in lower case": lambda secret: _write_lower(quote(secret)),
    " of a query in lower case": lambda secret: _write_lower(quote_plus(secret)),
}
"""How an address may spell a secret, by what its stand-in adds."""


def _list_names(url: str) -> set[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
