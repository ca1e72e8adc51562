"""Laws of Link headers: a next page is found however the header is written, and nothing else is."""

import pytest

from etl.http.next_pages import find_next_link

HERE = "https://api.example/v1/things?page=1"
NEXT = "https://api.example/v1/things?page=2"


@pytest.mark.parametrize(
    "header",
    [
        f'<{NEXT}>; rel="next"',
        f"<{NEXT}>; rel=next",
        f'<{NEXT}>;rel="next"',
        f'<{NEXT}> ; REL = "Next"',
        f'<{NEXT}>; rel="last next"',
        f'<{NEXT}>; title="a, <b>; rel=\\"prev\\""; rel="next"',
        f'<{NEXT}>; rel="next"; rel="prev"',
        f'<https://api.example/first>; rel="first", <{NEXT}>; rel="next", <https://api.example/last>; rel="last"',
        '</v1/things?page=2>; rel="next"',
        '<?page=2>; rel="next"',
        '<things?page=2>; rel="next"; results="true"',
    ],
)
def test_a_next_page_is_found(header: str) -> None:
    assert find_next_link(header, HERE) == NEXT


def test_a_comma_within_an_address_separates_nothing() -> None:
    assert find_next_link('<https://a.example/?ids=1,2>; rel="next"', HERE) == "https://a.example/?ids=1,2"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"<{NEXT}>",
        f'<{NEXT}>; rel="prev"',
        f'<{NEXT}>; rel="prev"; rel="next"',
        f'<{NEXT}>; rel="nextpage"',
        f'<{NEXT}>; title="rel=next"',
        f'<{NEXT}>; title="; rel=next"; rel="self"',
        f'<{NEXT}>; rev="next"',
        '</style.css>; rel=preload; as=style, <https://cdn.example>; rel="preconnect"',
    ],
)
def test_another_link_is_no_next_page(header: str) -> None:
    assert find_next_link(header, HERE) == ""
