# FleetFlow. `make help` lists every target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.8
TOOLS := .venv/tools
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
RUN := .venv/bin
SYNC := $(UV) sync --frozen --inexact --quiet --no-python-downloads --python $(PYTHON)
# Test files run side by side; each starts servers of its own, and much of the time is waiting for them.
JOBS ?= 2
PACKAGES := domain fleetflow ingestion quality serving

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH :=
unexport VIRTUAL_ENV
# Compiled modules are kept: every command and task imports thousands.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: .venv/.users ## Set up the virtual environment from the lock
.venv/.users: uv.lock pyproject.toml
	@$(MAKE) --no-print-directory uv
	@echo "Setting up .venv from uv.lock ..."
	@$(SYNC) --no-dev
	@touch $@

.venv/.developers: uv.lock pyproject.toml
	@$(MAKE) --no-print-directory uv
	@echo "Setting up .venv from uv.lock, with the developers' tools ..."
	@$(SYNC)
	@touch $@ .venv/.users

.PHONY: uv
uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "FleetFlow needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 2; }
	@command -v uv >/dev/null || [ -x $(TOOLS)/bin/uv ] || { \
	  $(PYTHON) -m venv .venv >/dev/null 2>&1 && $(PYTHON) -m venv $(TOOLS) \
	  || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }; \
	  $(TOOLS)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }

.PHONY: demo
demo: .venv/.users ## Run the main job once, end to end, and print what happened
	@$(RUN)/fleetflow demo

.PHONY: up
up: .venv/.users ## Start the stack and keep it up; prints addresses and logins
	@$(RUN)/fleetflow up

.PHONY: down
down: .venv/.users ## Stop the stack
	@$(RUN)/fleetflow down

.PHONY: status
status: .venv/.users ## Say what runs
	@$(RUN)/fleetflow status

.PHONY: test
test: .venv/.developers ## Run all tests; properties with the same examples each time
	@$(RUN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --hypothesis-profile=ci $(PYTEST)

.PHONY: explore
explore: .venv/.developers ## Try properties with examples that nobody has seen yet
	@$(RUN)/pytest -n $(JOBS) tests/property tests/unit $(PYTEST)

.PHONY: check
check: lint types imports generated test ## All that CI checks: tests, lint, types, import contracts, generated files

.PHONY: lint
lint: .venv/.developers ## Lint Python and SQL
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/sqlfluff lint --disable-progress-bar sql dbt/models dbt/tests

.PHONY: format
format: .venv/.developers ## Format Python
	@$(RUN)/ruff check --fix .
	@$(RUN)/ruff format .

.PHONY: types
types: .venv/.developers ## Check types
	@$(RUN)/mypy

.PHONY: imports
imports: .venv/.developers ## Hold the direction of the dependencies
	@$(RUN)/lint-imports

.PHONY: generate
generate: .venv/.users ## Write what is generated from the contracts and the list of signals
	@$(RUN)/python -m domain.contracts.generate
	@$(RUN)/python -m fleetflow.monitoring.generate

.PHONY: generated
generated: .venv/.developers
	@$(RUN)/python -m domain.contracts.generate --check
	@$(RUN)/python -m fleetflow.monitoring.generate --check

.PHONY: bench
bench: .venv/.users ## Measure landing, transform and freshness beside the machine's limit
	@$(RUN)/fleetflow bench landing
	@$(RUN)/fleetflow bench transform
	@$(RUN)/fleetflow bench freshness

.PHONY: clean
clean: ## Remove the virtual environment and all state (stop the stack first)
	@rm -rf .venv .fleetflow .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dbt/target dbt/logs
