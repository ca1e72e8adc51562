"""The tests read as laws; they always use a real PostgreSQL and a real Valkey."""
