# Taskscope. `make run` starts it, `make test` tests everything; the rest is for people who work on it.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/taskscope
BIN := .venv/bin
export PATH := $(CACHE)/bin:$(PATH)

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: .venv/.installed web/static/vendor/.installed ## the local environment in .venv, from the lock files

.venv/.installed: requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Taskscope needs Python 3.11 or newer; say which with PYTHON=..."; exit 1; }
	@echo "installing into .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip -q --disable-pip-version-check install --require-hashes -r requirements-dev.lock
	@$(BIN)/pip -q --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q -x node_modules alerting collector configfile dashboards discovery healthcheck logship model promql storage taskscope web
	@touch $@

web/static/vendor/.installed: web/package-lock.json .venv/.installed
	@$(BIN)/python web/build.py
	@touch $@

run: install ## observe this host: http://127.0.0.1:9800
	@$(BIN)/taskscope up $(ARGS)

fmt: ## format
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

lint: ## ruff, mypy strict, import-linter, spelling
	@$(BIN)/ruff format --check -q . || { echo "run 'make fmt'"; exit 1; }
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy -p model -p configfile -p storage -p promql -p discovery -p collector -p healthcheck -p logship -p alerting -p dashboards -p web -p taskscope
	@$(BIN)/mypy tests bench clients
	@said=$$($(BIN)/lint-imports) || { echo "$$said"; exit 1; }
	@$(BIN)/codespell

check: install lint ## what every commit passes: lint, types, layers, fast tests
	@$(BIN)/python -m pytest -q -m "not slow and not e2e and not docker and not elasticsearch and not browser and not peer and not vm"

services: ## what the service tests need (root on Debian; elsewhere says what is left out)
	@tests/services/setup.sh

# what shares one service, boots a guest, or measures time or memory
ALONE := docker or elasticsearch or vm or e2e or alone
test: install lint services ## everything; under CI=true a service that is missing is a failure
	@$(BIN)/python -m pytest -q -n auto --dist worksteal --durations=30 -m "not long and not ($(ALONE))"; code=$$?; \
	$(BIN)/python -m pytest -q --durations=30 -m "not long and ($(ALONE))" || code=1; tests/services/stop.sh; exit $$code

docs: install ## the reference pages made from the code
	@$(BIN)/python -m taskscope.reference

promqltest: install ## Prometheus's own scripts against the engine, passed/total by file
	@$(BIN)/python -m tests.promql.promqltest

chaos-tsdb: install ## the series store: every byte harmed, a day of churn, ten million reads, 200 kills; KILLS=n SEED=n
	@$(BIN)/python -m pytest -q -m long tests/storage/tsdb
	@$(BIN)/python -m tests.chaos.tsdb --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED))

chaos-logs: install services ## log shipping: 20 writers that rotate, 200 kills, a failing Elasticsearch, a full disk; KILLS=n SEED=n
	@$(BIN)/python -m pytest -q -m long tests/logship tests/storage/logdb tests/e2e && $(BIN)/python -m tests.chaos.logs --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED)) $(ARGS); code=$$?; tests/services/stop.sh; exit $$code

promqltest-http: install ## the same over HTTP: remote write in, query out, a fresh server for each block
	@$(BIN)/python -m tests.promql.over_http $(ARGS)

.PHONY: help install run fmt lint check services test docs promqltest promqltest-http chaos-tsdb chaos-logs
