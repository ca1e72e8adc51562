"""Who may use the API and the admin, and how often: tokens, permissions, throttles, logins."""
