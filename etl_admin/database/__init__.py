"""The embedded PostgreSQL and the Django backend that starts it; importing this does nothing."""
