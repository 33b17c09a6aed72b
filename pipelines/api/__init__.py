"""The customer contract over HTTP."""
