"""`pytest -p tests.laws.first_failure`: Hypothesis uses the same examples every time and stops at the first failure."""

import hypothesis
from hypothesis import Phase


def pytest_configure() -> None:
    """Runs after conftest.py, which loads the profile for other runs."""
    phases = (Phase.explicit, Phase.generate)
    hypothesis.settings.register_profile("first failure", deadline=None, derandomize=True, phases=phases, database=None)
    hypothesis.settings.load_profile("first failure")
