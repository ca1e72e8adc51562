"""Access to the API and the admin: tokens, permissions, throttles and logins."""
