"""Reads and judges large content in a process of its own, while the run's process writes to PostgreSQL."""
