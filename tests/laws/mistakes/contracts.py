"""Law 9, for contracts: a breach is the record's, and a value is never guessed."""

from tests.laws.seeding import Mistake

AMOUNTS = "tests/contracts/test_amounts.py::"
DRIFT = "tests/test_drift.py::"
NAMES = "tests/contracts/test_names.py::"
TEXTS = "tests/contracts/test_text_types.py::"
TIMES = "tests/contracts/test_dates_and_times.py::"

MISTAKES = (
    Mistake(
        9,
        "a column taken where two could be meant",
        "etl/contracts/names.py",
        (("            if len(alike) == 1:\n", "            if alike:\n"),),
        caught_by=(f"{NAMES}test_column_is_found_exactly_then_trimmed_then_in_another_case",),
    ),
    Mistake(
        9,
        "a decimal that PostgreSQL would round",
        "etl/contracts/amounts.py",
        (("    if is_too_precise(number):\n", "    if False:\n"),),
        caught_by=(
            f"{AMOUNTS}test_decimal",
            f"{AMOUNTS}test_decimal_is_accepted_exactly_when_numeric_38_18_holds_it",
        ),
    ),
    Mistake(
        9,
        "bounds that columns are not judged by",
        "etl/contracts/amounts.py",
        (("        if self.min is not None or self.max is not None:\n", "        if False:\n"),),
        caught_by=(f"{AMOUNTS}test_decimal_with_parameters",),
    ),
    Mistake(
        9,
        "an hour that exists twice read as the first",
        "etl/contracts/instants.py",
        (("        if first > second and self.twice is None:\n", "        if False:\n"),),
        caught_by=(f"{TIMES}test_an_hour_that_exists_twice_or_not_at_all",),
    ),
    Mistake(
        9,
        "a time without a zone taken for UTC",
        "etl/contracts/instants.py",
        (("zone = self.zone or form.zone\n", 'zone = self.zone or form.zone or "UTC"\n'),),
        caught_by=(f"{TIMES}test_no_time_takes_the_zone_of_the_project",),
    ),
    Mistake(
        9,
        "a type whose parameters the digest does not know",
        "etl/contracts/contract.py",
        (("field.kind.describe() + null", "field.kind.name + null"),),
        caught_by=(f"{TEXTS}test_parameters_are_part_of_the_description",),
    ),
    Mistake(
        9,
        "each key of a map a path of its own",
        "etl/drift.py",
        (("        if OBJECT in types and path in self.maps:\n", "        if False:\n"),),
        caught_by=(f"{DRIFT}test_the_values_of_a_map_have_one_path",),
    ),
)
