"""The laws of the window, most of them over HTTP against real gunicorn processes."""
