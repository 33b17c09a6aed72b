"""What goes in and out as JSON, a file per subject; the rules are in `pipelines.validation`."""
