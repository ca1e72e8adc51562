"""Django's PostgreSQL backend, which starts the embedded servers when it finds them down."""
