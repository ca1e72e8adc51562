"""What kinds of sources have in common: reading a file or an HTTP body into records with exact places."""
