# The project's verbs; `make help` lists them. From a fresh clone `make dev` and `make test` need nothing but Python >= 3.11.
.DEFAULT_GOAL := help
.PHONY: help venv dev test check conformance soak bench format docs clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.complete
PYTEST := $(BIN)/pytest
# Many tests wait for a peer now and then, so two workers more than there are processors; real daemons beside them use more.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
# Compiled code is kept, whatever was asked for: each worker and each daemon would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
# The public suites, where they lie beside the clone; tests that read them say so when they are missing.
export GATEPOST_TESTDATA ?= $(shell cd ../shared/testdata 2>/dev/null && pwd)
# The clone may lie in a path of any letters, which Python before 3.13 can't read out of .venv where only ASCII is asked for.
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif

help:  ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(READY)  ## make .venv with the package and its development extras

$(READY): pyproject.toml
	python=$${PYTHON:-$$(scripts/find-python)} && scripts/make-venv "$$python" $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

dev: venv  ## run a relay with a sample domain, send sample mails, show what became of them
	@$(BIN)/gatepost dev

test: venv  ## run the tests
	$(PYTEST) -n auto --dist worksteal --timeout 60 -m "not conformance and not soak"

check: venv  ## format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -n 0 tests/test_architecture.py tests/test_docs.py

# Each worker loads the files that it is told of: those alone which have such tests.
conformance: venv  ## public suites and real daemons
	$(PYTEST) -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist worksteal --timeout 400 -m "conformance and not soak" \
		$(shell grep -rl --include='test_*.py' conformance tests)

soak: venv  ## the long form of everything
	$(PYTEST) -n 2 -m soak --timeout 3600
	$(PYTEST) -n 2 -m "hypothesis and not soak" --hypothesis-profile others --timeout 3600
	GATEPOST_KILLS=200 $(PYTEST) -n 2 tests/store/test_crash.py -k again_and_again

bench: venv  ## measure the relay beside its load tools and Postfix; prints a table
	$(BIN)/python -m bench.relay

format: venv  ## put the code into its one form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv  ## write the pages and files that are made from the code
	$(BIN)/python scripts/generate.py

clean:  ## remove what the tools leave behind
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dist state-dev
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
