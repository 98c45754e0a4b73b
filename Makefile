# Two commands: `make demo` and `make test`. Both make their own environment in .venv; nothing else is touched.
# Needs Python 3.11+ with venv, or uv. Everything is pinned with hashes in requirements/.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
SOURCES := $(shell find signal_contract publisher signal_admin subscriber_agent nats config -type f -not -name '*.pyc' 2>/dev/null) pyproject.toml README.md

ifdef UV
make_venv   = uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV)
install     = uv pip install --quiet --compile-bytecode --python $(BIN)/python
else
make_venv   = $(PYTHON) -m venv $(VENV)
install     = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test bench guard chaos lint generate mutants lock clean help

help:
	@echo "make demo      see it work: a server, two friends, real decisions (under a minute)"
	@echo "make test      run the tests against the built wheel"
	@echo "make chaos     the long form of the chaos tests: 20 minutes of kills, outages and lost nodes (CHAOS_MINUTES)"
	@echo "make bench     this project against bare nats-py, FastAPI and Redis, side by side (some minutes; ARGS=live_path)"
	@echo "make guard     the short form of it: fails only when something became grossly slow"
	@echo "make lint      ruff, mypy --strict, import rules"
	@echo "make generate  write the generated files anew (schemas, example config, golden bytes)"
	@echo "make mutants   mutation testing of the risk rules: breaks them on purpose, one at a time (some minutes)"
	@echo "make lock      refresh the pinned requirements"

demo: $(VENV)/.wheel-installed
	@$(BIN)/catalyst demo $(ARGS)

# Half as many workers again as there are cores: many tests wait for a real server, or for a process to be killed.
WORKERS ?= $(shell $(PYTHON) -c 'import os; n = os.cpu_count() or 1; print(min(4, n + (n + 1) // 2))')
# A test that fails gets one second try, and the summary names it (RERUN): with real servers and processes on a busy
# machine a time limit can be missed once; a fault fails twice. What is named there is to be looked into all the same.
test: $(VENV)/.wheel-installed $(VENV)/.dev-installed
	@CATALYST_TEST_WHEEL=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --reruns 1 -rR $(ARGS)

CHAOS_MINUTES ?= 20
chaos: $(VENV)/.wheel-installed $(VENV)/.dev-installed
	@CATALYST_TEST_WHEEL=1 $(BIN)/python tests/chaos/chaos_rounds.py --minutes $(CHAOS_MINUTES) $(ARGS)

bench: $(VENV)/.wheel-installed $(VENV)/.dev-installed $(VENV)/.bench-installed
	@$(BIN)/python tests/bench/run.py $(ARGS)

guard: $(VENV)/.wheel-installed $(VENV)/.dev-installed $(VENV)/.bench-installed
	@$(BIN)/python tests/bench/run.py --quick --guard $(ARGS)

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

generate: $(VENV)/.wheel-installed $(VENV)/.dev-installed
	$(BIN)/python tests/generate.py

# A mutant that no test notices is a rule that may break unseen. docs/risk.md says which ones do, and why.
mutants: $(VENV)/.wheel-installed $(VENV)/.dev-installed requirements/mutants.txt
	@$(install) --require-hashes -r requirements/mutants.txt
	$(BIN)/mutmut run --max-children 1 $(ARGS)
	$(BIN)/mutmut results

$(VENV)/.run-installed: requirements/run.txt
	@echo "making the environment in $(VENV) (once; about half a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; try: make PYTHON=python3.12 …"; exit 1; }
	@$(make_venv)
	@$(install) --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/.dev-installed: requirements/dev.txt $(VENV)/.run-installed
	@$(install) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench-installed: requirements/bench.txt $(VENV)/.run-installed
	@$(install) --require-hashes -r requirements/bench.txt
	@touch $@

# The wheel, not the checkout, is what runs: an editable install would hide packaging faults.
$(VENV)/.wheel-installed: $(VENV)/.run-installed requirements/build.txt $(SOURCES)
	@$(install) --require-hashes -r requirements/build.txt
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel >/dev/null
	@$(install) --no-deps --no-index --force-reinstall dist/*.whl
	@touch $@

# uv resolves for every platform and Python at once; no index address is written.
compile = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --upgrade
lock:
	@command -v uv >/dev/null || { echo "error: make lock needs uv: python -m pip install uv"; exit 1; }
	$(compile) pyproject.toml --extra server --extra metrics -o requirements/run.txt
	$(compile) --group build -c requirements/run.txt -o requirements/build.txt
	$(compile) --group dev -c requirements/run.txt -o requirements/dev.txt
	$(compile) --group bench -c requirements/run.txt -c requirements/dev.txt -o requirements/bench.txt
	$(compile) --group mutants -c requirements/run.txt -c requirements/dev.txt -o requirements/mutants.txt

clean:
	rm -rf $(VENV) dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
