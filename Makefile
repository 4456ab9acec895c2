# Fixed names, a few lines each; CI runs exactly these. Every target makes the environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.dev-installed
# One pytest process for each core, two even on one: much of a test's time is waiting. Each has a store of its own; with
# REDIS_URL there is one store, some of whose own figures are looked at, so that tests come one after the other.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2); [ "$$n" -gt 2 ] && echo "$$n" || echo 2)
PARALLEL := $(if $(REDIS_URL),,-n $(JOBS) --dist worksteal)

.DEFAULT_GOAL := help
.PHONY: help demo test test-store test-browser lint types check run bench screenshots crash feed-day lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(STAMP): requirements/dev.lock pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh "$(PYTHON)" "$(VENV)"
	@touch $(STAMP)

demo: $(STAMP)  ## the whole relay at work on this machine; ONCE=1 ends after the story
	@$(BIN)/relay demo $(if $(ONCE),--once,)

test: $(STAMP)  ## all tests with branch coverage
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered --cov-report=html -q $(ARGS)

test-store: $(STAMP)  ## the tests that use a store, on another server: SERVER=/usr/bin/redis-server
	@test -x "$(SERVER)" || { echo "Name a server: make test-store SERVER=/usr/bin/redis-server" >&2; exit 2; }
	@TEST_STORE_SERVER="$(SERVER)" $(BIN)/python -m pytest tests/integration tests/acceptance/test_store_restart.py \
		$(PARALLEL) -m "store and not long" --no-cov -q $(ARGS)

test-browser: $(STAMP)  ## the dashboard in a real Chromium, where there is one
	@$(BIN)/python -m pytest tests/browser $(PARALLEL) --no-cov -q $(ARGS)

lint: $(STAMP)  ## format and lint, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(STAMP)  ## mypy, strict
	@$(BIN)/mypy

check: lint types test  ## what CI runs

run: $(STAMP)  ## receiver and workers on this machine, with config/relay.toml or RELAY_CONFIG
	@$(BIN)/relay up

bench: $(STAMP)  ## speed and memory, beside bare baselines
	@$(BIN)/python -m bench $(ARGS)

screenshots: $(STAMP)  ## the pictures of README and docs anew; ARGS=FOLDER: every page, in every look, there
	@$(BIN)/python -m scripts.screenshots $(if $(ARGS),$(ARGS),--docs)

crash: $(STAMP)  ## the long form of the crash rounds (50 of 2,000 events, 20 rolling restarts; a quarter of an hour)
	@$(BIN)/python -m tests.acceptance.crash $(ARGS)
	@$(BIN)/python -m pytest -q --no-cov -m long tests/acceptance

feed-day: $(STAMP)  ## the change feed over 24 hours of a living portal, three seeds, every switch (minutes)
	@$(BIN)/python -m tests.integration.feed_day

lock:  ## write the locks anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q -o requirements/run.lock
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q -o requirements/dev.lock

clean:  ## the environment and everything made by tests
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage*
