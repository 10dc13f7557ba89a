# Mirage. Two commands from nothing: `make run` opens the app, `make test` proves that it works.
#   make run ARGS="fly --world snow --out snow.mp4"    any mirage command in the environment that make keeps
#   make test TEST_ARGS="-k flights"                       some of the tests
#   make test TEST_ARGS="-n 0 -x"                          one after the other, to the first that fails
#   make run PYTHON=/path/to/python3.12                another interpreter for the environment

VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.mirage-installed
ARGS ?=
TEST_ARGS ?=

.DEFAULT_GOAL := run
.PHONY: run test lint bench doctor clean

$(INSTALLED): pyproject.toml scripts/python_environment.sh scripts/system_libraries.sh
	@sh scripts/system_libraries.sh
	@PYTHON="$(PYTHON)" sh scripts/python_environment.sh $(VENV)
	@touch $@

run: $(INSTALLED)
	@$(BIN)/python main.py $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TEST_ARGS)

bench: $(INSTALLED)
	@$(BIN)/python main.py bench --quick $(ARGS)

doctor: $(INSTALLED)
	@$(BIN)/python main.py doctor

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
