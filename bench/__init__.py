"""Measurements, not tests: ratios of figures taken in one run on one machine (`make bench`)."""
