"""Executing runs, in a worker or in a terminal, and the sweep that repairs what was missed."""
