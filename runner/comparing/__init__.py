"""Which rows differ between a query and its target table; repairing them is elsewhere."""
