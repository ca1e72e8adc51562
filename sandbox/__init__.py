"""A local stand-in for the outside APIs, for the demo and the tests; never part of a production run."""
