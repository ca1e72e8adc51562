"""Pages followed from link to link, as a consumer does."""

from typing import Any

from tests.api.web import Web


def walk(web: Web, address: str, token: str, *, by: str = "next") -> list[list[dict[str, Any]]]:
    """The rows of each page, from this one to the last, or to the first with `by="previous"`."""
    pages = []
    following: str | None = address
    while following is not None:
        answer = web.follow(following, token=token)
        assert answer.status == 200, answer.text
        page = answer.json()
        pages.append(page["data"])
        following = page[by]
        assert len(pages) < 5000, "the walk never ends"
    return pages


def walk_rows(web: Web, address: str, token: str) -> list[dict[str, Any]]:
    return [row for page in walk(web, address, token) for row in page]
