"""Reports on the tables: each source's standing, statistics, metrics, the overview and the verification."""
