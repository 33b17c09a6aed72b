"""Formats of Russian."""
