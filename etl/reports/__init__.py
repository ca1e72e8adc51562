"""What the tables say: each source's standing, statistics, metrics, the overview, and whether all adds up."""
