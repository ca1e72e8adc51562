"""The only writer of raw, unified and quarantine; always inside a transaction that delivery.py has fenced."""
