"""Django's PostgreSQL backend, extended to start the embedded servers if they are down."""
