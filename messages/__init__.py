"""Keeps the Russian catalogue: what is said in code and templates goes into locale/ru."""
