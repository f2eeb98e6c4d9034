# Every target works from a fresh clone, without root; all paths are relative, so blanks in the
# checkout's path do no harm. PYTHON=/path/to/python3.12 chooses another interpreter.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --quiet --quiet --no-input --disable-pip-version-check
INSTALLED_FROM := pyproject.toml constraints.txt

# A virtual environment holds its own absolute path: one that was moved or copied is made anew.
STALE := $(shell test -x .venv/bin/python && test "$$(cat .venv/checkout)" = "$$(pwd -P)" || echo stale)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint sandbox attacks bench bench-engines chaos load flakes clean stale

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: .venv/judge.stamp ## judge a right, a wrong, a slow and a hostile submission (no torch needed)
	@PATH=".venv/bin:$$PATH" sh docs/demo/run

test: .venv/test.stamp ## all checks and all tests; installs everything
	@$(MAKE) --no-print-directory --jobs=2 lint sandbox
	@.venv/bin/python -m pytest -n 3 --durations 20

lint: .venv/test.stamp ## ruff and mypy
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

sandbox: .venv/test.stamp ## build the images of the engine docker that are missing
	@.venv/bin/grader sandbox build

attacks: .venv/test.stamp ## judge every attack of tests/attacks on docker, bubblewrap and in forks (root, eight minutes)
	@.venv/bin/python -m pytest -qq -n 3 tests/test_attacks.py -k test_attack

bench-engines: sandbox ## measure what each engine costs, beside a bare container (a quarter of an hour)
	@.venv/bin/python -m tests.bench.engines

BENCHES := transport warm timing peers throughput "engines --cold"

bench: sandbox ## measure speed and fairness, one benchmark after the other; fails where a target is missed (root, half an hour)
	@missed=; for bench in $(BENCHES); do \
	  echo; echo "== python -m tests.bench.$$bench"; \
	  .venv/bin/python -m tests.bench.$$bench || missed="$$missed $$bench"; \
	done; test -z "$$missed" || { echo "not all targets met:$$missed" >&2; exit 1; }

chaos: .venv/test.stamp ## kill API, workers, sandboxes, Redis, connections while 300 submissions are judged (root, five minutes)
	@.venv/bin/python -m tests.worker.chaos

load: .venv/test.stamp ## let 200 simulated students submit and poll for 3 minutes; prints how long answers took (root)
	@.venv/bin/python -m tests.bench.load

flakes: .venv/test.stamp ## judge references and right solutions on many seeds; prints how often one fails
	@.venv/bin/python -m grader.gate flakes

clean: ## remove the virtual environment and everything built
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/checkout: $(STALE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1 || true)"; \
	  echo "Remedy: install one, then make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module, which Debian and Ubuntu package apart."; \
	  echo "Remedy: sudo apt-get install python3-venv"; exit 1; } >&2
	@echo "Making .venv and installing into it (a minute or two the first time)" >&2
	@$(PYTHON) -m venv --clear .venv
	@pwd -P > $@

# The build backend is installed first, so that it too comes from the constraints.
.venv/judge.stamp: .venv/checkout $(INSTALLED_FROM)
	@$(PIP) install -c constraints.txt hatchling editables
	@$(PIP) install -c constraints.txt --no-build-isolation -e ".[judge]"
	@touch $@

.venv/test.stamp: .venv/judge.stamp $(INSTALLED_FROM)
	@$(PIP) install -c constraints.txt --no-build-isolation -e ".[judge,docker,server,torch,dev]"
	@touch $@
