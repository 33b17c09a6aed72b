"""The demonstration: its source tables and pipelines; how it is run lives in the `demo` command."""
