"""A team's own app, whose models are the targets of tests."""
