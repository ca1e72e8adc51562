# Each target sets up what it needs (a venv in .venv, servers from wheels).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8000
unexport PYTHONDONTWRITEBYTECODE  # each process would compile every module again

.PHONY: demo up test quick lint mistakes crashes bench bench-large bench-memory bench-models bench-api bench-indexes bench-overview down
.DEFAULT_GOAL := demo

$(READY): requirements.txt requirements-dev.txt
	@echo "Setting up $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

.env:
	@printf 'DEBUG=true\n' > $@

demo: $(READY) .env  ## read four sources twice, and show which records landed
	@$(BIN)/python -m sandbox.demo

up: $(READY) .env  ## web on port 8000 (PORT=…), worker and beat, until Ctrl-C
	@$(BIN)/python manage.py up --port $(PORT)

test: $(READY) .env  ## the tests on all cores, or those that TESTS=… names; each process has servers of its own
	@$(BIN)/python -m pytest $(or $(TESTS),--numprocesses auto --dist loadfile --no-loadscope-reorder)

quick: $(READY) .env  ## the tests that need no server
	@$(BIN)/python -m pytest -p tests.quick

lint: $(READY) .env  ## style, types, the import law, migrations, settings, the files of production, and prose
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/python scripts/check_prose.py

mistakes: $(READY) .env  ## seed mistakes in copies of the project, all, those named like WORD=…, or a SHARE=K/N; their tests must fail
	@$(BIN)/python -m tests.laws.mistakes $(WORD) $(if $(SHARE),--share $(SHARE))

crashes: $(READY) .env  ## kill KILLS=… runs (200) at each step, and count what is lost, doubled or unaccounted (WALK=1: of an API with pages; TARGET=1: into a team's own model)
	@$(BIN)/python -m tests.laws.crashes $(or $(KILLS),200) $(if $(WALK),--walk) $(if $(TARGET),--target) $(if $(SEED),--crash-seed $(SEED))

bench/.venv/.ready: bench/requirements.txt
	@echo "Setting up bench/.venv …"
	@test -x bench/.venv/bin/python || $(PYTHON) -m venv bench/.venv
	@bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/requirements.txt
	@touch $@

bench: $(READY) .env bench/.venv/.ready  ## compare loads with two bare COPYs, plain SQL, Sling, dlt and bulk_create, in an hour
	@$(BIN)/python -m bench.loads

bench-large: $(READY) .env  ## compare a load of ten million records with one of a million
	@$(BIN)/python -m bench.loads.large

bench-memory: $(READY) .env  ## compare the peak memory of 100,000 and a million records of 5 and of 200 columns
	@$(BIN)/python -m bench.loads.memory

bench-models: $(READY) .env bench/.venv/.ready  ## compare loads into a team's own model with bare COPYs and django-import-export
	@$(BIN)/python -m bench.models

bench-api: $(READY) .env bench/.venv/.ready  ## compare the API with FastAPI and bare Django views, over a million records
	@$(BIN)/python -m bench.api

bench-indexes: $(READY) .env  ## measure what each index costs a load of a million records
	@$(BIN)/python -m bench.indexes
	@$(BIN)/python -m bench.index_prices

bench-overview: $(READY) .env  ## measure the admin's index page over few rows and over many
	@$(BIN)/python -m bench.overview

down: $(READY) .env  ## stop the processes of `make up`, and the embedded servers
	@$(BIN)/python manage.py up --stop
	@$(BIN)/python manage.py servers stop
