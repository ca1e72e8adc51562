"""What a walk stores of an address holds no secret in any spelling, and gives the same address again."""

from collections.abc import Callable, Sequence
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etl.http.hidden_states import hide, reveal
from etl.http.request import Request

KEY = "ab/c+d== é"
SPELLINGS: Sequence[Callable[[str], str]] = (
    str,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
)


def make_request(*secrets: str) -> Request:
    return Request("https://api.example/list", secrets=secrets)


@pytest.mark.parametrize("spell", SPELLINGS[:4])
def test_no_spelling_of_a_secret_is_stored(spell: Callable[[str], str]) -> None:
    state = {"url": f"https://api.example/{spell(KEY)}/list?page=2"}
    request = make_request(KEY)
    hidden = hide(state, request, request)
    assert spell(KEY) not in hidden["url"]
    assert reveal(hidden, [KEY]) == state


def test_a_secret_is_hidden_after_other_parameters_are_taken_out() -> None:
    request = make_request(KEY)
    signed = Request("https://api.example/list?key=x", secrets=(KEY,))
    state = {"url": f"https://api.example/list?key=x&of={quote(KEY, safe='')}"}
    hidden = hide(state, request, signed)
    assert quote_plus(KEY) not in hidden["url"]
    assert reveal(hidden, [KEY]) == {"url": f"https://api.example/list?of={quote_plus(KEY)}"}


def test_a_state_of_an_earlier_release_is_revealed() -> None:
    assert reveal({"url": "/{secret 1}/list", "page": 2}, ["first", KEY]) == {"url": f"/{KEY}/list", "page": 2}


@given(
    secrets=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), max_size=3),
    parts=st.lists(st.sampled_from(("/", "?a=", "secret", "0", "{", " of a path", "%2F", "x")), max_size=6),
    spellings=st.lists(st.sampled_from(SPELLINGS), min_size=3, max_size=3),
)
def test_what_is_hidden_is_revealed_as_it_was(
    secrets: list[str], parts: list[str], spellings: Sequence[Callable[[str], str]]
) -> None:
    spelled = [spell(secret) for spell, secret in zip(spellings, secrets, strict=False)]
    url = "".join(f"{part}{secret}" for part, secret in zip(parts, [*spelled, *[""] * len(parts)], strict=False))
    assume("{secret " not in url)
    request = make_request(*secrets)
    hidden = hide({"url": url, "page": 1}, request, request)
    assert reveal(hidden, secrets) == {"url": url, "page": 1}
