# Every target makes what it needs: Python >= 3.11 and this folder are enough.
.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help dev test test-environments check bench bench-create bench-http bench-fleet simulate simulate-long fuzz soak
.PHONY: mutate format clean

help: ## show what there is
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with PYTHON=python3.12")'
	@echo "setting up $(VENV): about a minute, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,local]'
	@touch $(READY)

dev: $(READY) ## everything on this machine: catalog, local Neon, API, reconciler (PORT=8000)
	@exec $(BIN)/morphik-apps dev --port $(PORT)

test: $(READY) ## all tests
	$(BIN)/python -m pytest $(ARGS)

# ARGS chooses among the tests; FIXED=1 takes the part that runs before every change.
ENVIRONMENTS_FIXED := tests/integration/test_app_catalog.py tests/integration/test_api.py \
	tests/integration/test_migrate.py tests/integration/test_worker.py tests/integration/test_roles.py \
	tests/processes/test_life.py
ENVIRONMENTS := tests/integration tests/identity tests/catalogfaults tests/upgrades tests/properties tests/httpmodel \
	tests/processes

test-environments: $(READY) ## the tests that use a catalog, over a database with unusual settings behind PgBouncer
	TEST_ENVIRONMENT=hostile $(BIN)/python -m pytest $(or $(ARGS),$(if $(FIXED),-q $(ENVIRONMENTS_FIXED),$(ENVIRONMENTS)))

# Folders whose names and prose follow docs/contributing/vocabulary.md.
VOCABULARY := api specs reconciler migrations docs/contributing docs/explanation

check: $(READY) ## format, lint, types, import contracts, workflows, vocabulary, file length
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --no-progress --quiet .github
	$(BIN)/python -m tests.vocabulary $(VOCABULARY)
	$(BIN)/python -m pytest -q tests/unit/test_shape.py

bench: $(READY) ## measure: a table, and build/bench-<name>.json
	@status=0; for name in create http fleet; do $(MAKE) --no-print-directory bench-$$name || status=1; done; exit $$status

bench-create: $(READY) ## from POST to ready, against a bare script that waits as Neon's SDK does
	$(BIN)/python -m tests.bench.create

bench-http: $(READY) ## POST and GET, against bare Starlette routes with one statement each
	$(BIN)/python -m tests.bench.http

bench-fleet: $(READY) ## 1,000 apps at once by three daemons, under Neon's request limits (five minutes, 18 GB of disk)
	$(BIN)/python -m tests.bench.fleet

simulate: $(READY) ## every fault at every step, pairs, 120,000 schedules, mutants: build/simulate.json (fifteen minutes)
	$(BIN)/python -m tests.simulate

simulate-long: $(READY) ## the same, and new seeds for so long (MINUTES=60)
	$(BIN)/python -m tests.simulate --minutes $(or $(MINUTES),60)

fuzz: $(READY) ## 10,000 requests generated from the API's own description, by two owners (EXAMPLES=1250, fifteen minutes)
	FUZZ_EXAMPLES=$(or $(EXAMPLES),1250) $(BIN)/python -m pytest -q tests/processes/test_schemathesis.py

soak: $(READY) ## kill, pause and cut off real processes, then look: build/soak.json (SEED=, SECONDS=500; ten minutes, 5 GB of disk)
	$(BIN)/python -m tests.soak $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

mutate: $(READY) ## change the pure core in every small way, and see that it is noticed: build/mutation.json (MODULE=, two minutes)
	$(BIN)/python -m tests.mutation $(if $(MODULE),--module $(MODULE))

format: $(READY) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## forget the environment and the local data
	rm -rf $(VENV) .data build *.egg-info
