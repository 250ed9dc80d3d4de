# Everything runs in .venv, made here from the lock files; nothing else on the machine is used.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := api chain cli indexer ledger localnet migrations runtime worker
# Settings of the caller's Python must not leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := $(BIN)/python -m pip install --quiet --only-binary :all: --require-hashes

.PHONY: demo test test-clients install check check-deploy format lock bench compare chaos soak storm picture screenshots clean

demo: .venv/installed ## the whole system, embedded, with payers paying; ARGS=--once for a fixed round
	$(BIN)/pay402 demo $(ARGS)

test: .venv/installed-dev ## every test, three at a time: they mostly wait
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(ARGS)

test-clients: .venv/installed-dev .venv-clients/installed .venv-clients/javascript/installed ## the published clients of x402 buy from each other through us
	DEMAND_CLIENTS=1 $(BIN)/python -m pytest tests/clients $(ARGS)

install: .venv/installed ## only set everything up

check: .venv/installed-dev ## lint, types, layers, dependencies, secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m checks.import_cycles
	$(BIN)/python -m checks.named_queries
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(PACKAGES) deploy bench checks
	$(BIN)/python -m checks.advisories
	$(BIN)/python -m checks.leaked_secrets

check-deploy: .venv/installed-dev ## the files of deploy/, each by the tools that will read it; nothing is skipped
	DEMAND_TOOLS=1 $(BIN)/python -m pytest tests/deploy $(ARGS)

format: .venv/installed-dev ## put the code into its standard form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed-dev ## measurements; ARGS=name for one of them
	$(BIN)/python -m bench $(ARGS)

compare: .venv/installed-dev ## a revision and this tree, measured in turns; ARGS="--before REV verify ingest lag"
	$(BIN)/python -m bench.compare $(ARGS)

lock: .venv/installed-dev ## resolve the dependencies again (needs uv on the PATH)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra build -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra build --extra parquet -o requirements-parquet.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra build --extra dev --extra parquet -o requirements-dev.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  -o requirements-clients.lock requirements-clients.in

chaos: .venv/installed-dev ## every fault at random, with kills and forks; ARGS="--rounds 200 --seed 1"
	$(BIN)/python -m tests.scenarios.chaos $(ARGS)

soak: .venv/installed-dev ## the whole system for minutes, with restarts at random; ARGS="--minutes 10 --seed 1"
	$(BIN)/python -m tests.scenarios.soak $(ARGS)

storm: .venv/installed-dev ## settles of one payload over three API processes killed at random, and wallets that race themselves
	STORM_SETTLES=1000 STORM_RACES=100 $(BIN)/python -m pytest --timeout 1800 tests/api/x402/test_settle_at_once.py $(ARGS)

picture: .venv/installed ## draw the README's picture anew, from what the demo prints
	$(BIN)/python -m cli.demo.picture docs/demo.svg

screenshots: .venv/installed-dev ## draw the console's pages anew for docs/console.md, over what the demo pays; needs chromium
	$(BIN)/python -m tests.scenarios.screenshots docs/console

clean: ## remove the environment and all embedded state
	rm -rf .venv .venv-clients .pay402

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("pay402 needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 and run make again." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing pay402 and what it needs into .venv"
	$(PIP_INSTALL) -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

# By the lock, whose hashes npm checks, without the scripts of packages.
.venv-clients/javascript/installed: tests/clients/javascript/package.json tests/clients/javascript/package-lock.json | .venv-clients/installed
	@command -v npm > /dev/null || { echo "error: npm is missing; install Node.js 20 or newer for the JavaScript client." >&2; exit 1; }
	@echo "Installing the published JavaScript client of x402 into .venv-clients/javascript"
	mkdir -p $(@D)
	cp tests/clients/javascript/package.json tests/clients/javascript/package-lock.json $(@D)/
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved=true --loglevel=error
	@touch $@

# The published clients pin another release of `solana`, and so have an environment of their own.
.venv-clients/installed: requirements-clients.lock | .venv/bin/python
	@echo "Installing the published clients of x402 into .venv-clients"
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --only-binary :all: --require-hashes -r requirements-clients.lock
	@touch $@
