# Every target sets up what it needs: a clean clone, Python 3.11 or newer, and make are enough.
#
#   PYTHON=/path/to/python3.12   the Python to use (default: python3 if new enough, else the newest)
#   VENV=.venv                   where its packages go
#   PYTEST_ARGS="-k windows"     more arguments for pytest
#   HUB=kafka                    where `make demo` runs: a broker as of `make kafka`, a file, an address

PYTHON ?=
VENV ?= .venv
PYTEST_ARGS ?=
PORT ?= 9092
ROUNDS ?= 10
BENCH_ARGS ?=
DEMO_ARGS ?=
HUB ?=

bin := $(VENV)/bin
ready := $(VENV)/.ready
locks := requirements/build.txt requirements/dev.txt
lock := $(bin)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-shop test test-faults kafka kafka-stop check format format-check lint types layers docs bench bench-kafka lock clean

help: ## show this list
	@echo "Vagus: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | awk '{t=$$1; $$1=""; printf "  %-14s%s\n", t, $$0}'

setup: $(ready) ## make the virtual environment (every target does it when needed)

demo: $(ready) $(if $(filter kafka,$(HUB)),kafka) ## run the demo: a year of real flights (HUB=kafka: on a broker)
	@$(bin)/vagus demo flights $(if $(HUB),--hub $(HUB:kafka=kafka://localhost:$(PORT))) $(DEMO_ARGS)

demo-shop: $(ready) ## run the shop: six services, under a load of customers
	@$(bin)/vagus demo shop $(DEMO_ARGS)

test: $(ready) ## run every test, the examples in docstrings and the programs in the pages
	@$(bin)/python -m pytest -n logical --dist loadgroup $(PYTEST_ARGS)

test-faults: $(ready) ## try faults on three Kafka brokers, ROUNDS=10 times each (about an hour)
	@VAGUS_FAULT_ROUNDS=$(ROUNDS) VAGUS_REQUIRE_KAFKA=1 \
		$(bin)/python -m pytest -s -q tests/kafka/test_faults.py $(PYTEST_ARGS)

kafka: $(ready) ## start a Kafka broker to develop with, at localhost:9092 (needs Java 17 and Maven)
	@$(bin)/python -m tests.kafka.broker start --port $(PORT)

kafka-stop: $(ready) ## stop that broker; its data stays in .kafka/
	@$(bin)/python -m tests.kafka.broker stop

check: $(ready) ## run every check below but the tests, all of them even if one fails
	@$(MAKE) --keep-going format-check lint types layers docs

format: $(ready) ## mend format and what the linter can mend
	@$(bin)/python -m ruff check --quiet --fix-only .
	@$(bin)/python -m ruff format .

format-check: $(ready) ## check the format
	@echo "==> format"
	@$(bin)/python -m ruff format --check .

lint: $(ready) ## check for likely mistakes
	@echo "==> lint"
	@$(bin)/python -m ruff check .

types: $(ready) ## check types, strictly
	@echo "==> types"
	@$(bin)/python -m mypy

layers: $(ready) ## check that each room imports only from those below
	@echo "==> layers"
	@$(bin)/lint-imports --no-cache

docs: $(ready) ## build the pages of docs/ into site/, warnings are errors
	@echo "==> docs"
	@$(bin)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs site
	@echo "site/index.html is ready"

bench: $(ready) ## measure speed, one line of JSON a benchmark
	@$(bin)/python -m benchmarks $(BENCH_ARGS)

bench-kafka: $(ready) ## measure on Kafka, beside Kafka Streams (needs a JDK 17 and Maven)
	@$(bin)/python -m benchmarks.kafka $(BENCH_ARGS)

lock: $(ready) ## resolve pyproject.toml into requirements/ anew
	@$(lock) --upgrade --group build --output-file requirements/build.txt
	@$(lock) --upgrade --all-extras --group dev pyproject.toml --output-file requirements/dev.txt

clean: ## remove what the other targets made
	@rm -rf $(VENV) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Brought up to date whenever the locked packages or the package's own metadata change.
$(ready): $(locks) pyproject.toml
	@sh .ci/find-python "$(bin)/python" >/dev/null 2>&1 || { \
		python=$$(sh .ci/find-python "$(PYTHON)") || exit 1; \
		echo "==> [1/3] virtual environment $(VENV) with $$python"; \
		$$python -m venv --clear "$(VENV)"; }
	@echo "==> [2/3] $$(grep -c '==' requirements/dev.txt) pinned packages (once; a minute or two)"
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/build.txt
	@$(bin)/python -m pip install --no-deps --no-build-isolation --require-hashes \
		--no-warn-script-location -r requirements/dev.txt
	@echo "==> [3/3] vagus itself, from this folder"
	@$(bin)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
