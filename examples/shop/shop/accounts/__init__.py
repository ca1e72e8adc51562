"""The shop's customers and staff, by mail address."""
