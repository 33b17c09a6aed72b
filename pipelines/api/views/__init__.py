"""What answers each address, a file per subject; no rule is kept here."""
