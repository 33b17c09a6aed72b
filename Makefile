# Everything there is to do with a clone; only Python 3.11+ and make have to be there.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
RUN_READY := .venv/.installed
DEV_READY := .venv/.installed-dev
BROWSER := /usr/bin/chromium

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Linters import the settings: this keeps them from starting a server or writing .data.
WITHOUT_SERVER := env DATABASE_URL=postgresql://nobody@127.0.0.1:1/none \
	WAREHOUSE_URL=postgresql://nobody@127.0.0.1:1/none SECRET_KEY=for-linters-only-which-neither-sign-nor-check-a-session \
	ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

# One more than there are cores, four at most: tests wait for servers more than they compute.
TESTERS = $$($(BIN)/python -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')

.DEFAULT_GOAL := help
.PHONY: help venv demo test soak check audit format messages browser bench lock

help:
	@echo "make demo    rows move before your eyes; then the site at http://127.0.0.1:8000"
	@echo "make test    format, lint, types, and every test"
	@echo "make soak    what takes long: more faults, and half an hour of them at random"
	@echo "make check   format, lint and types only"
	@echo "make audit   ask whether vulnerabilities of what we depend on are known"
	@echo "make format  correct what can be corrected by itself"
	@echo "make messages  bring the Russian catalogue up to date, and say what is untranslated"
	@echo "make bench   measure"
	@echo "make lock    pin the dependencies again"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; “$(PYTHON)” is" \
			"$$($(PYTHON) --version 2>/dev/null || echo not there)." \
			"Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(RUN_READY): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	@touch $@

$(DEV_READY): requirements-dev.txt $(RUN_READY)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

venv: $(DEV_READY)

demo: $(RUN_READY)
	@$(BIN)/python manage.py demo $(ARGS)

# Not incremental: what the Django plugin finds out is not kept reliably between runs.
check: $(DEV_READY)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(WITHOUT_SERVER) $(BIN)/mypy --no-incremental .
	@$(BIN)/python -m advisories --if-reachable

# `make check` asks it once a day, and only says so where no service can be asked.
audit: $(DEV_READY)
	@$(BIN)/python -m advisories

format: $(DEV_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

messages: $(DEV_READY)
	@$(BIN)/python -m messages

# The tests drive a real browser: Debian's where we may install it, Playwright's own elsewhere.
browser: $(DEV_READY)
	@[ -x $(BROWSER) ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } || \
	$(BIN)/playwright install chromium || { \
		echo "No browser could be had, and the tests need one. Install Debian's chromium," \
			"or let “$(BIN)/playwright install chromium” reach its server." >&2; exit 1; }

test: check browser
	@$(BIN)/pytest -n $(TESTERS) -m "not soak" $(ARGS)

# About half an hour; SOAK_SECONDS=60 SOAK_ROWS=0 SOAK_FAULTS=15 make soak tries it out.
soak: $(DEV_READY)
	@$(BIN)/pytest -m soak -s -v $(ARGS)

bench: $(DEV_READY)
	$(BIN)/python -m bench $(ARGS)

lock: $(DEV_READY)
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header \
		pyproject.toml -o requirements.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header \
		--group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header \
		bench/reladiff.in -o bench/reladiff.txt
