"""A local stand-in for the outside APIs, for the demo and tests; never used in production."""
