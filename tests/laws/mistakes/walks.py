"""Walks through the pages of an API: what they ask for, where a batch ends, and when they end."""

from tests.laws.seeding import Mistake, before, drop

SHAPES = "tests/readers/test_walk_shapes.py::"

MISTAKES = (
    Mistake(
        1,
        "a batch that ends inside a page",
        "etl/readers/walk_reading.py",
        (
            before(
                "            yield self._finish()\n        while",
                "            room = self.batch_size - len(self.gathered)\n"
                "            self._take(rest[:room])\n"
                "            rest = rest[room:]\n",
            ),
        ),
        caught_by=(f"{SHAPES}test_a_chunk_is_whole_pages_and_only_a_larger_page_is_split",),
    ),
    Mistake(
        9,
        "a number that is rounded to 0",
        "etl/contracts/amounts.py",
        (("    if not number:\n        return Breach(", "    if False:\n        return Breach("),),
        caught_by=("tests/contracts/test_amounts.py::test_decimal_with_parameters",),
    ),
    Mistake(
        12,
        "a page without records that ends a walk although there are more",
        "etl/http/pages.py",
        (("bool(page.find(self.more)) if self.more else page.count > 0", "page.count > 0"),),
        caught_by=(f"{SHAPES}test_each_kind_of_pages_reads_each_shape",),
    ),
    Mistake(
        14,
        "a page asked for again at once although the server asks to wait",
        "etl/readers/walk.py",
        (drop("                self.failure = name, error\n"),),
        caught_by=(
            "tests/laws/test_walks.py::test_a_server_that_asks_for_a_long_wait_in_mid_walk_is_asked_for_the_rest_later",
        ),
    ),
)
