# Slipway. `make help` lists the targets; README.md tells the story.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps --no-compile
.DEFAULT_GOAL := help
.PHONY: help demo test up lint bench chaos locks

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/service.done runtime/.venv/done .venvs/ikomia/done .venvs/pictures/done ## from nothing to a result picture: sign up, push, deploy, run, with timings
	@.venv/bin/python -m demo

test: .venv/test.done runtime/.venv/done .venvs/ikomia/done .venvs/ikomia-full/done .venvs/pictures/done .venvs/registry/done ## set everything up and pass all tests
	@.venv/bin/python -m pytest -n 2 --dist loadfile

up: .venv/service.done runtime/.venv/done ## the whole service in the foreground; Ctrl-C stops it, data stays in .data/
	@exec .venv/bin/python manage.py dev

lint: .venv/test.done ## ruff, mypy, import contracts, templates, migrations
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/djlint templates --lint --quiet
	SLIPWAY_NO_SECRETS=1 .venv/bin/python manage.py makemigrations --check --dry-run

bench: .venv/test.done runtime/.venv/done .venvs/ikomia/done .venvs/pictures/done .venvs/bench/done ## measure against the goals; prints figures and ratios
	@.venv/bin/python -m bench

chaos: .venv/test.done runtime/.venv/done ## 500 seeds of faults on the deployment engine (CHAOS_SEEDS, CHAOS_FIRST), about half an hour
	@.venv/bin/python -m tests.chaos

locks: ## resolve requirements/*.in again (needs uv)
	sh requirements/lock.sh

.venv/bin/python:
	@sh requirements/system.sh
	@echo "setup: virtual environment of the service"
	@$(PYTHON) -m venv .venv

.venv/service.done: requirements/service.txt | .venv/bin/python
	@echo "setup: service ($$(grep -c == $<) packages)"
	@.venv/bin/python $(PIP) -r $< && touch $@

.venv/test.done: requirements/test.txt | .venv/bin/python
	@echo "setup: service, tests and lint ($$(grep -c == $<) packages)"
	@.venv/bin/python $(PIP) -r $< && touch $@ .venv/service.done

runtime/.venv/done: requirements/runtime.txt requirements/engine.txt | .venv/bin/python
	@echo "setup: runtime with the engine (about 760 MB)"
	@$(PYTHON) -m venv runtime/.venv
	@runtime/.venv/bin/python $(PIP) -r requirements/runtime.txt -r requirements/engine.txt && touch $@

.venvs/ikomia/done: requirements/clients/ikomia.txt
	@echo "setup: the public clients"
	@$(PYTHON) -m venv .venvs/ikomia
	@.venvs/ikomia/bin/python $(PIP) -r $< && touch $@

.venvs/ikomia-full/done: requirements/clients/ikomia-full.txt
	@echo "setup: the public command line client with the engine (about 700 MB)"
	@$(PYTHON) -m venv .venvs/ikomia-full
	@.venvs/ikomia-full/bin/python $(PIP) -r $< && touch $@

.venvs/pictures/done: requirements/pictures.txt
	@echo "setup: pictures"
	@$(PYTHON) -m venv .venvs/pictures
	@.venvs/pictures/bin/python $(PIP) -r $< && touch $@

.venvs/registry/done: requirements/registry.sh | .venv/bin/python
	@sh requirements/registry.sh

.venvs/bench/done: requirements/bench.txt
	@echo "setup: the servers to compare with"
	@$(PYTHON) -m venv .venvs/bench
	@.venvs/bench/bin/python $(PIP) -r $< && touch $@
