# Everything that is installed goes into the project: .venv and .local. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

ENV ?= default
PYTHON := .venv/bin/python
UV := $(or $(shell command -v uv),.local/uv/bin/uv)

# A Python 3.13 that uv has to download belongs to the project too.
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.local/python
export UV_NO_PROGRESS := 1
export SAM_CLI_TELEMETRY := 0

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

.PHONY: setup
setup: .venv/.ready ## install all that is needed into the project (the other targets do it themselves)

.local/uv/bin/uv:
	@echo "installing uv into .local/uv"
	@python3 -m venv .local/uv
	@.local/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.ready: pyproject.toml uv.lock .python-version | $(UV)
	@echo "installing Python packages into .venv"
	@$(UV) sync --frozen --quiet
	@touch $@

.PHONY: demo
demo: setup ## bring the stack up, push the recorded events through it, print what came of each
	@$(PYTHON) -m tools.demo

.PHONY: test
test: setup ## run all tests: unit and integration first, then end to end on the local stack
	@$(PYTHON) -m pytest tests/unit tests/integration tests/proof -n 2
	@$(PYTHON) -m pytest tests/e2e

.PHONY: test-unit
test-unit: setup ## run the unit and integration tests only
	@$(PYTHON) -m pytest tests/unit tests/integration tests/proof -n 2

.PHONY: up
up: setup ## bring the local stack up, or up to date, and leave it running (.local/stack.json)
	@$(PYTHON) -m tools.stack up

.PHONY: down
down: setup ## stop the local stack
	@$(PYTHON) -m tools.stack down

.PHONY: status
status: setup ## tell whether the local stack runs, and where
	@$(PYTHON) -m tools.stack status

.PHONY: lint
lint: setup ## check style, formatting and the template
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@.venv/bin/sam validate --lint

.PHONY: format
format: setup ## put the sources in the project's format
	@$(PYTHON) -m ruff check --fix
	@$(PYTHON) -m ruff format

.PHONY: typecheck
typecheck: setup ## check the types
	@$(PYTHON) -m mypy

.PHONY: docs
docs: setup ## write what is made from the code: the OpenAPI document, the page of error codes
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m tools.openapi
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m tools.errors_page
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m tools.charging_page

.PHONY: screenshots
screenshots: setup ## take the pictures of the console in docs/console (needs chromium)
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m tools.screenshots

.PHONY: requirements
requirements: setup ## write the layer's requirements.txt from uv.lock
	@UV=$(UV) $(PYTHON) -m tools.package requirements

.PHONY: build
build: setup ## build the deployable artifacts with byte code (ENV=default)
	@$(PYTHON) -m tools.package build --config-env $(ENV)

.PHONY: deploy
deploy: setup ## build and deploy to AWS with your own credentials (ENV=default or prod)
	@$(PYTHON) -m tools.package deploy --config-env $(ENV)

.PHONY: bench
bench: setup ## run the benchmarks
	@$(UV) sync --frozen --quiet --group bench
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m benchmarks

.PHONY: prove
prove: setup ## run the long forms of all proofs, and write the report (docs/proof.md)
	@$(UV) sync --frozen --quiet --group bench
	@PYTHONPATH=.:layers/connectors $(PYTHON) -m tools.prove

.PHONY: clean
clean: ## stop the local stack and remove what was built and installed
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m tools.stack down; fi
	@rm -rf .venv .local .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
