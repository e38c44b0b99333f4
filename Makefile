# The commands of the project. `make demo` and `make test` are all that a fresh clone needs.

# The first Python that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.15; do \
	if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$p; break; fi; done)
VENV ?= .venv
PY := $(VENV)/bin/python
COMPILED := $(shell find src -name '*.pxd' -o -name '*.pyx' 2>/dev/null)
COMPILED_PY := $(wildcard $(patsubst %.pxd,%.py,$(COMPILED)))

.PHONY: help build demo test lint peers pythons pytest test-all bench bench-instructions conformance dropin fuzz sanitize soak docs wheels clean

help:
	@echo "make demo         start a server, talk to it directly and through a proxy, print an account"
	@echo "make test         linters, types and tests, compiled and uncompiled"
	@echo "make test-all     the tests on every CPython from 3.11 on that is found"
	@echo "make conformance  the 517 cases of Autobahn|Testsuite; SET=core for seconds instead of minutes"
	@echo "make fuzz         random input, and what covers more, for a minute; TIME=... seconds; see tests/fuzz"
	@echo "make dropin       programs of others, from PyPI, on tidegate in the place of websockets"
	@echo "make sanitize     tests with the core compiled so that every access to memory is checked"
	@echo "make soak         a server under load for minutes; SCALE=1 for 20,000 connections, TIME=... seconds"
	@echo "make docs         the documentation as a site; a warning is an error"
	@echo "make wheels       build what goes to a package index into dist/, check it and try it"
	@echo "make bench        measure against other libraries; QUICK=1, ONLY=..., PROGRAMS=... for less"
	@echo "make bench-instructions  count instructions, and compare with those stored; UPDATE=1 stores them"

build: $(VENV)/.built

# The environment has the tools that build the package, so that compiling anew is quick.
$(VENV)/.created: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: set PYTHON=/path/to/python3"; exit 1; }
	@echo "Making an environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requirements.txt
	@$(PY) -m pip install --quiet --no-compile --requirement $(VENV)/build-requirements.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.created setup.py
	@echo "Installing what tidegate stands on"
	@TIDEGATE_NO_EXTENSIONS=1 $(PY) -m pip install --quiet --no-build-isolation --editable .
	@touch $@

# Without a C compiler this says so, and everything runs uncompiled.
$(VENV)/.built: $(VENV)/.installed $(COMPILED) $(COMPILED_PY)
	@echo "Compiling, for half a minute the first time; without a C compiler, everything runs uncompiled"
	@$(PY) setup.py --quiet build_ext --inplace 2> $(VENV)/build.log || { cat $(VENV)/build.log; exit 1; }
	@touch $@

$(VENV)/.test: $(VENV)/.built
	TIDEGATE_NO_EXTENSIONS=1 $(PY) -m pip install --quiet --no-build-isolation --editable '.[speedups,test,docs]'
	@touch $@

demo: $(VENV)/.built
	$(VENV)/bin/tidegate demo

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Proxies and load balancers to test with, where they may be installed.
peers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then .ci/install-peers || true; fi

# What can't differ when the core is uncompiled, and takes long, is tested once.
ONCE := cli faults hostile project types benchmarks conformance testing integrations pubsub proxy/real proxyprotocol/real test_docs.py test_examples.py
PYTEST := $(PY) -m tests.run

pytest: $(VENV)/.test
	$(PYTEST)
	TIDEGATE_NO_EXTENSIONS=1 $(PYTEST) $(ONCE:%=--ignore tests/%) tests tests/cli/test_demo.py

test: lint peers pytest

# Pythons that are newer than those of the system, where they may be installed.
pythons:
	@.ci/install-pythons || echo "Some Pythons could not be installed; the others are tested."

test-all: peers pythons
	$(PYTHON) tests/all_pythons.py

conformance: $(VENV)/.test
	$(PY) -m conformance --set $(or $(SET),all) --library $(or $(LIBRARY),tidegate) $(if $(JOBS),--jobs $(JOBS))

# Atheris has wheels for some systems and Pythons only.
$(VENV)/.fuzz: $(VENV)/.test
	@$(PY) -m pip install --quiet --only-binary :all: atheris || echo "Without Atheris, nothing is found by coverage."
	@touch $@

fuzz: $(VENV)/.fuzz
	$(PY) -m tests.fuzz --seconds $(or $(TIME),60) $(if $(ONLY),--only $(ONLY))

sanitize: $(VENV)/.test
	$(PY) -m tests.sanitized $(ARGS)

soak: $(VENV)/.test
	$(PY) -m benchmarks.soak --scale $(or $(SCALE),0.1) --seconds $(or $(TIME),180) $(if $(WRITE),--write)

# The peers of the benchmark have an environment of their own.
BENCH := benchmarks/build/venv

$(BENCH)/.built: pyproject.toml setup.py benchmarks/requirements.txt $(COMPILED) $(COMPILED_PY)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt --editable '.[speedups]'
	@touch $@

bench: $(BENCH)/.built
	$(MAKE) --quiet --directory benchmarks/c
	$(BENCH)/bin/python -m benchmarks $(if $(ONLY),--only "$(ONLY)") $(if $(PROGRAMS),--programs "$(PROGRAMS)") $(if $(QUICK),--quick) $(if $(FORCE),--force)

# Counts don't depend on what else the machine does; they are those of the tests' environment.
bench-instructions: $(VENV)/.test
	$(PY) -m benchmarks.instructions $(if $(ONLY),--only "$(ONLY)") $(if $(UPDATE),--update)

# So have the programs of others. Those for older versions of websockets come without what they need.
DROPIN := dropin/build/venv

$(DROPIN)/.built: pyproject.toml setup.py dropin/requirements.txt dropin/requirements-older.txt $(COMPILED) $(COMPILED_PY)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(DROPIN)
	$(DROPIN)/bin/python -m pip install --quiet --upgrade pip
	$(DROPIN)/bin/python -m pip install --quiet --requirement dropin/requirements.txt --editable '.[speedups]'
	$(DROPIN)/bin/python -m pip install --quiet --no-deps --requirement dropin/requirements-older.txt
	@touch $@

dropin: $(DROPIN)/.built
	$(DROPIN)/bin/python -m pytest -c dropin/pytest.ini dropin

# The reference is made from the sources, uncompiled. All is made anew, as each page has the navigation.
docs: $(VENV)/.test
	$(PY) -m sphinx --quiet --fresh-env --write-all --fail-on-warning --keep-going \
		--doctree-dir build/doctrees docs build/site
	@echo "The site is at build/site/index.html"

# What builds packages has one, too, because none of it is needed for anything else.
PACKAGES := build/packages

$(PACKAGES)/.built: .ci/packages.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later was found: set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(PACKAGES)
	@$(PACKAGES)/bin/python -m pip install --quiet --requirement .ci/packages.txt
	@touch $@

wheels: $(PACKAGES)/.built
	@.ci/build-packages $(PACKAGES)/bin/python

clean:
	rm -rf build dist $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src -name '*.so' -delete
