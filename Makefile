# Everything a stranger needs: each target sets up what it uses (a venv in .venv, servers from wheels).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8000

.PHONY: demo up test quick lint mistakes bench-api bench-indexes bench-overview down
.DEFAULT_GOAL := demo

$(READY): requirements.txt requirements-dev.txt
	@echo "Setting up $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

.env:
	@printf 'DEBUG=true\n' > $@

demo: $(READY) .env  ## bring four sources through the pipeline, twice, and show what landed
	@$(BIN)/python -m sandbox.demo

up: $(READY) .env  ## web on port 8000 (PORT=…), worker and beat, until Ctrl-C
	@$(BIN)/python manage.py up --port $(PORT)

test: $(READY) .env  ## the tests, on servers of their own
	@$(BIN)/python -m pytest

quick: $(READY) .env  ## the tests that need no server
	@$(BIN)/python -m pytest -p tests.quick

lint: $(READY) .env  ## style, types, the import law, migrations, settings, and the files of production
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

mistakes: $(READY) .env  ## make mistakes in a copy of the project, all or those named like WORD=…; their tests must fail
	@$(BIN)/python -m tests.laws.mistakes $(WORD)

bench/.venv/.ready: bench/requirements.txt
	@echo "Setting up bench/.venv …"
	@test -x bench/.venv/bin/python || $(PYTHON) -m venv bench/.venv
	@bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement bench/requirements.txt
	@touch $@

bench-api: $(READY) .env bench/.venv/.ready  ## the API beside FastAPI and bare Django views, over a million records
	@$(BIN)/python -m bench.api

bench-indexes: $(READY) .env  ## what each index costs a load of a million records
	@$(BIN)/python -m bench.indexes

bench-overview: $(READY) .env  ## the desk's home over few rows and over many
	@$(BIN)/python -m bench.overview

down: $(READY) .env  ## stop what `make up` has started, and the embedded servers
	@$(BIN)/python manage.py up --stop
	@$(BIN)/python manage.py servers stop
