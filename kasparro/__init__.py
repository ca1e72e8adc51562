"""The Django project: settings, addresses, and the servers that start by themselves in development."""
