"""What keeps a running run alive and stops it in time: lease, waits, signals; and which processes are alive."""
