# What runs here needs python3 (3.11 or newer) with its venv module, make, git and ca-certificates; the rest is installed
# into .venv by the first target that needs it. CONTRIBUTING.md tells how to work with these.

PYTHON ?= python3
TEST_PROCESSES ?= 4

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CODE := src tests benchmarks examples

.PHONY: help demo test check format format-check lint types imports bench prerequisites clean

help:
	@echo 'make demo     start Lambent, deploy the examples, run them and show what they did'
	@echo 'make test     pass the tests'
	@echo 'make check    all that CI checks: format, lint, types, import rules, tests'
	@echo 'make bench    measure this machine'
	@echo 'make format   put the code in the form that make check asks for'
	@echo 'make clean    remove what the other targets made'

demo: $(INSTALLED)
	@$(BIN)/python examples/demo.py

test: $(INSTALLED) prerequisites
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) $(PYTEST_ARGUMENTS)

check: format-check lint types imports test

format-check: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)

lint: $(INSTALLED)
	$(BIN)/ruff check $(CODE)

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

# Programs that some tests drive; a test says why it is skipped where they can not be had.
prerequisites:
	@PYTHON='$(PYTHON)' tests/prerequisites

# Made anew when its interpreter went away, brought up to date when pyproject.toml changed.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Lambent needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo 'Installing Lambent and what it needs into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@

clean:
	rm -rf $(VENV) .aws-services .sqs-server .ansible .oci-runtimes build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
