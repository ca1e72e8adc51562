"""GET requests with retries, deadlines, size caps and rate limits. Only this package imports requests and urllib3."""
