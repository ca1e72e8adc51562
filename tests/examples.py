"""How many examples a property test takes. CI takes the same ones each time, so a third of them is enough there."""

import os

import hypothesis

DEFAULT = 100
IN_CI = bool(os.environ.get("CI"))
DIVISOR = 3 if IN_CI and not os.environ.get("ALL_EXAMPLES") else 1
"""ALL_EXAMPLES is set where a test must notice a seeded mistake."""


def most_examples(examples: int) -> hypothesis.settings:
    """A decorator: the test takes this many examples, or a third of them in CI."""
    return hypothesis.settings(max_examples=max(1, examples // DIVISOR))
