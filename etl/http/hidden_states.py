"""Keeps credentials out of the states of a walk, which the checkpoint stores. Pure."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

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
    return _replace(state, {secret: _stand_in(number) for number, secret in enumerate(request.secrets) if secret})


def reveal(state: State, secrets: Sequence[str]) -> State:
    """Return the state with the secrets of the path."""
    return _replace(state, {_stand_in(number): secret for number, secret in enumerate(secrets)})


def _stand_in(number: int) -> str:
    return f"{{secret {number}}}"


def _replace(state: State, texts: Mapping[str, str]) -> State:
    replaced = dict(state)
    for name, value in state.items():
        for former, new in texts.items() if isinstance(value, str) else ():
            replaced[name] = replaced[name].replace(former, new)
    return replaced


def _list_names(url: str) -> set[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
