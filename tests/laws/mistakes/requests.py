"""Mistakes in how a source is asked: limits of its own, tokens, links that lead elsewhere."""

from tests.laws.seeding import Mistake, after, drop

AUTH = "tests/http/test_auth.py::"
OPTIONS = "tests/readers/test_http_source.py::"
WALK = "tests/readers/test_walk.py::"

CHILDREN = "tests/readers/test_children.py::"

MISTAKES = (
    Mistake(
        1,
        "a walk resumed at the first detail of its page",
        "etl/readers/walk_reading.py",
        (("        elements = page.items[self.place.index :]\n", "        elements = page.items\n"),),
        caught_by=(f"{CHILDREN}test_resumed_after_any_chunk_it_asks_for_no_detail_before_it",),
    ),
    Mistake(
        4,
        "a missing detail that ends the walk",
        "etl/readers/children.py",
        (('GONE: Mapping[int, Meaning] = {404: "empty", 410: "empty"}', "GONE: Mapping[int, Meaning] = {}"),),
        caught_by=(f"{CHILDREN}test_a_missing_detail_is_a_refusal_with_its_place",),
    ),
    Mistake(
        14,
        "a detail asked for at another origin",
        "etl/readers/children.py",
        (("        if find_origin(url) != find_origin(page.url):\n", "        if False:\n"),),
        caught_by=(f"{CHILDREN}test_an_element_without_a_usable_value_is_refused_and_nothing_asked",),
    ),
    Mistake(
        14,
        "a value of an element that leads to another path",
        "etl/readers/children.py",
        (('quote(texts[match[1]], safe="")', "texts[match[1]]"),),
        caught_by=(f"{CHILDREN}test_values_of_the_element_make_the_address",),
    ),
    Mistake(
        12,
        "a replay that lands an element in the place of its detail",
        "etl/readers/json_api.py",
        (("        if stored.breach.code == BreachCode.CHILD_MISSING:", "        if False:"),),
        caught_by=(f"{CHILDREN}test_a_replay_lands_no_element_in_the_place_of_its_detail",),
    ),
    Mistake(
        14,
        "the origin of a next page checked on the first page only",
        "etl/http/pages.py",
        (
            (
                "    if find_origin(url) != find_origin(page.url):\n",
                "    if page.seen <= page.count and find_origin(url) != find_origin(page.url):\n",
            ),
        ),
        caught_by=(f"{WALK}test_a_next_page_of_another_origin_is_never_asked_for",),
    ),
    Mistake(
        12,
        "an undeclared status treated as empty",
        "etl/http/attempt.py",
        (
            (
                "if (meaning := request.statuses.get(response.status_code)) is None:",
                'if (meaning := request.statuses.get(response.status_code, "empty")) is None:',
            ),
        ),
        caught_by=(f"{OPTIONS}test_without_a_declaration_a_202_and_a_204_are_errors_that_name_it",),
    ),
    Mistake(
        12,
        "a token that may be renewed only once in a request however long it waits",
        "etl/http/client.py",
        (("                self.is_renewed = False  # the renewed token may expire in the wait\n", ""),),
        caught_by=(f"{AUTH}test_a_token_may_expire_at_any_time_of_a_walk",),
    ),
    Mistake(
        12,
        "a token asked for before the wait in which it may expire",
        "etl/http/client.py",
        (
            drop("        _await_turn(self.request, self.context, budget)\n"),
            after(
                "        request = self.signed = self._sign(budget)\n",
                "        _await_turn(self.request, self.context, budget)\n",
            ),
        ),
        caught_by=(f"{AUTH}test_a_token_is_asked_for_after_the_wait_for_a_place_in_the_rate_limit",),
    ),
)
