"""Known vulnerabilities of what we depend on; `python -m advisories` asks for them."""
