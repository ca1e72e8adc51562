"""The kinds of sources: they read a file or an HTTP body into records with exact places."""
