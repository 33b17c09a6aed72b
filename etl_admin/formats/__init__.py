"""How times are written, by language; everything else as Django does."""
