"""`pytest -p tests.laws.first_failure`: Hypothesis gives the same examples each time and stops at the first failure."""

import hypothesis
from hypothesis import Phase


def pytest_configure() -> None:
    """Behind conftest.py, which sets the examples of other runs."""
    phases = (Phase.explicit, Phase.generate)
    hypothesis.settings.register_profile("first failure", deadline=None, derandomize=True, phases=phases, database=None)
    hypothesis.settings.load_profile("first failure")
