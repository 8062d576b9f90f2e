# `make` lists what there is. Everything that needs .venv makes it first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up dev client images check test bench migrate lock clean

# The first Python on the machine that is new enough, else python3 (the check then says so).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)
# Without bytecode every start compiles everything again: twice the time. It is git-ignored.
unexport PYTHONDONTWRITEBYTECODE
V := .venv/bin

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: ## set up whatever is missing, then run Cronium here; PORT= HOST= DATA= are remembered, YES=1 asks nothing
	@HOST="$(HOST)" PORT="$(PORT)" DATA="$(DATA)" $(PYTHON) -m scripts.up

dev: .venv/dev client ## run from the clone with debug logging; PORT= DATA= as in up
	@HOST="$(HOST)" PORT="$(PORT)" DATA="$(DATA)" CRONIUM_LOG_LEVEL=debug $(PYTHON) -m scripts.up

client: .venv/dev ## build the browser client
	@$(V)/python -m scripts.build_client

images: .venv/dev ## build the job images now; FRESH=1 builds them anew with fresh packages
	@$(V)/python -m scripts.build_images $(if $(FRESH),--fresh)

check: .venv/dev ## format, lint, import contracts, types
	$(V)/ruff format --check .
	$(V)/ruff check .
	$(V)/lint-imports
	$(V)/pyright

test: ## all set-up, then every test; ARGS= goes to pytest
	@YES=1 $(PYTHON) -m scripts.testing $(ARGS)

bench: .venv/dev ## measure against the floors in the same run
	@$(V)/python -m bench $(ARGS)

migrate: .venv/dev ## write a migration from the changed tables: make migrate m="what changed"
	@test -n "$(m)" || { echo 'Say what changed: make migrate m="add runs.note"'; exit 1; }
	$(V)/alembic revision --autogenerate -m "$(m)"

# Hashes for every platform, no index address; `uv` is needed for this only.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --quiet
lock: ## recompute requirements/*.txt from pyproject.toml (needs uv); UPGRADE=1 takes newer versions
	PATH="$(CURDIR)/$(V):$$PATH"; for set in run: build:build dev:build,dev; do \
		extras=; for e in $$(echo $${set#*:} | tr , ' '); do extras="$$extras --extra $$e"; done; \
		$(LOCK) $(if $(UPGRADE),--upgrade) $$extras pyproject.toml -o requirements/$${set%%:*}.txt || exit 1; \
	done; $(LOCK) $(if $(UPGRADE),--upgrade) requirements/package.in -o requirements/package.txt

clean: ## remove what was built here: .venv, client, caches (never data)
	rm -rf .venv .web .web-* .states .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .venv/dev
.venv/dev:
	@$(PYTHON) -m scripts.environment --dev
