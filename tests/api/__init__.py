"""The laws of the API, most of them tested over HTTP against real gunicorn processes."""
