"""`python -m tests.laws.mistakes [WORD]` makes all mistakes, or those whose name contains the word."""

import sys

from tests.laws.mistakes import MISTAKES
from tests.laws.seeding import prove

word = sys.argv[1] if len(sys.argv) > 1 else ""
sys.exit(not prove([mistake for mistake in MISTAKES if word in mistake.name]))
