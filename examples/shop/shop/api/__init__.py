"""The shop's own API, an app of the label `api`."""
