"""The Django project: its settings, its URLs, and the servers that start automatically in development."""
