"""A team's shop, whose products are the target of `bench/models.py`."""
