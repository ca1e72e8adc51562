"""Keeps a running run alive and stops it in time: lease, waits, signals. Also lists the processes that are alive."""
