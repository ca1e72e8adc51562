"""HTTP requests with care: retries, deadlines, caps, rate limits. The only importer of requests and urllib3."""
