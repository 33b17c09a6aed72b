"""What can go wrong with the embedded PostgreSQL, as sentences for people; no handling here."""


class EmbeddedDatabaseError(RuntimeError):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""
