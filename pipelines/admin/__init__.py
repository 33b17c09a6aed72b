"""The admin, a file per model."""
