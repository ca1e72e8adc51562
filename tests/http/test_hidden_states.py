"""What a walk stores of an address holds no secret in any spelling, and gives the same address again."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, quote_plus, unquote, unquote_plus

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
    assert quote(KEY, safe="") not in hidden["url"]
    assert reveal(hidden, [KEY]) == {"url": f"https://api.example/list?of={quote(KEY, safe='')}"}


def test_other_parameters_stay_as_they_are_spelled() -> None:
    request = Request("https://api.example/list")
    signed = Request("https://api.example/list?api+key=x")
    others = "q=%E9&b=a%20b&flag&x=;1&&c=%2f"
    state = {"url": f"https://api.example/list?{others}&api%20key=x&api+key=y"}
    assert hide(state, request, signed) == {"url": f"https://api.example/list?{others}"}


@pytest.mark.parametrize("spelled", ["ab%2Fc+d==", "ab/c%2bd==", "ab%2fc%2Bd%3D%3d", "%61b/c+d==", "ab%2Fc%2Bd%3d%3D"])
def test_no_mixed_spelling_of_a_secret_is_stored(spelled: str) -> None:
    request = make_request("ab/c+d==")
    state = {"url": f"https://api.example/{spelled}/list", "page": 2}
    hidden = hide(state, request, request)
    assert spelled not in hidden["url"]
    assert reveal(hidden, request.secrets) == state


def test_a_secret_that_has_changed_since_is_revealed_in_a_spelling_of_an_address() -> None:
    request = make_request("ab/c+d==")
    hidden = hide({"url": "/ab%2Fc+d==/list"}, request, request)
    assert reveal(hidden, ["new/key"]) == {"url": "/new%2Fkey/list"}


@pytest.mark.parametrize(
    ("stand_in", "spelled"),
    [("{secret 1}", KEY), ("{secret 1 quoted}", quote(KEY, safe="")), ("{secret 2}", "{secret 2}")],
)
def test_a_state_of_an_earlier_release_is_revealed(stand_in: str, spelled: str) -> None:
    assert reveal({"url": f"/{stand_in}/list", "page": 2}, ["first", KEY]) == {"url": f"/{spelled}/list", "page": 2}


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


@st.composite
def spell_at_will(draw: st.DrawFn) -> tuple[str, str]:
    """A secret, and a spelling in which each character is one for itself."""
    secret = draw(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd"), min_size=1, max_size=8))
    spelled = ""
    for letter in secret:
        codes = [f"%{byte:02X}" for byte in letter.encode()]
        mixed = "".join(draw(st.sampled_from((code, code.lower(), code[:2] + code[2].lower()))) for code in codes)
        spelled += draw(st.sampled_from((letter, mixed, "+" if letter == " " else letter)))
    return secret, spelled


@given(given=st.lists(spell_at_will(), min_size=1, max_size=3), between=st.sampled_from(("", "/", "%2F", "?a=", "0")))
def test_no_spelling_at_will_is_left_and_each_is_revealed(given: list[tuple[str, str]], between: str) -> None:
    secrets = [secret for secret, _ in given]
    url = between.join(("", *(spelled for _, spelled in given), ""))
    assume("{secret " not in url)
    request = make_request(*secrets)
    hidden = hide({"url": url}, request, request)
    left = re.sub(r"\{secret [0-9]+[a-z0-9 ]*\}", "\0", hidden["url"])
    assert not any(secret in text for secret in secrets for text in (left, unquote(left), unquote_plus(left)))
    assert reveal(hidden, secrets) == {"url": url}
