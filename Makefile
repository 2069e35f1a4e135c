# Each target works from a fresh clone: it creates the environment that it needs in .venv, once.
# To use another Python than the first suitable one on the PATH: make demo PYTHON=/path/to/python
PYTHON = python3.11 python3 python3.12 python3.13

VENV := .venv
BIN := $(VENV)/bin
METADATA := setup.cfg setup.py pyproject.toml

# A stamp marks a finished install. `.made`: an environment exists; holds the path of its folder.
# `.demo`: the package and the examples' packages are installed; `.test`: the tests' packages too;
# `.smoke`: the package with other versions, and what the smoke tests need.
MADE := $(VENV)/.made
DEMO := $(VENV)/.demo
TEST := $(VENV)/.test
SMOKE := $(VENV)/.smoke

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# A folder for finished environments; empty: none are kept.
CACHE ?=

# The versions of `make smoke`.
KERAS ?= 3.10
TENSORFLOW ?= 2.19
# What pip must install in place of the newest versions.
export PINS ?=

.PHONY: help demo test smoke smoke-tests planted varied keras-tests crash-test fuzz portable-test portable-probe lint types format benchmarks clean
# One environment for all: `make -j demo test` must not install into it twice at once.
.NOTPARALLEL:

help:
	@echo "make demo        train the breast cancer example, compare the bits of runs and computers"
	@echo "make test        run all tests"
	@echo "make smoke       run the smoke tests on other versions (KERAS=, TENSORFLOW=)"
	@echo "make planted     score verify --explain on scripts with one planted cause each (NAMES=)"
	@echo "make varied      score verify --vary on scripts that depend on one variation each (NAMES=)"
	@echo "make keras-tests run Keras's own tests bare, observed and with the callback (NAMES=; 20 minutes)"
	@echo "make crash-test  kill trainings at random moments (N=) and at every change on disk, resume them"
	@echo "make fuzz        give mutated files to every command that reads them (SECONDS=, 60)"
	@echo "make portable-test  train on emulated CPUs and compare the bits (CPUS=, MODELS=)"
	@echo "make portable-probe  run single operations on an emulated CPU and compare (CPUS=)"
	@echo "make lint        check format and style      make format   correct both"
	@echo "make types       check the types"
	@echo "make benchmarks  list the benchmarks and how to run one"
	@echo "make clean       remove the environment and all caches"

demo: $(DEMO)
	@$(BIN)/keras-repro verify examples/breast_cancer.py --runs 3
	@$(BIN)/python examples/portable_fingerprint.py

test: $(TEST)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Each pair of versions has an environment of its own; `make` again, since VENV names it.
smoke:
	@$(MAKE) --no-print-directory smoke-tests VENV=.smoke/keras-$(KERAS)-tensorflow-$(TENSORFLOW) \
	    PINS='keras==$(KERAS).* tensorflow==$(TENSORFLOW).*'

smoke-tests: $(SMOKE)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder @tests/smoke.txt

planted: $(TEST)
	@$(BIN)/python tests/planted/score.py $(NAMES)

# Some of Keras's tests import JAX. It gets a folder of its own: the other tests run without it.
keras-tests: $(TEST)
	@[ -d .keras-tests ] || $(BIN)/python -m pip install -qq --no-deps --target .keras-tests jax jaxlib opt_einsum
	@PYTHONPATH=$(CURDIR)/.keras-tests $(BIN)/python tests/keras_tests/score.py $(NAMES)

crash-test: $(TEST)
	@$(BIN)/python tests/crash/score.py $(N)

fuzz: $(TEST)
	@$(BIN)/python tests/fuzz/score.py $(SECONDS)

varied: $(TEST)
	@$(BIN)/python tests/varied/score.py $(NAMES)

portable-test: $(TEST)
	@$(BIN)/python tests/portable/score.py --plain --threads 1 2 4 --keep .portable-test \
	    $(if $(CPUS),--cpus $(CPUS)) $(if $(MODELS),--models $(MODELS))

portable-probe: $(TEST)
	@$(BIN)/python tests/portable/probe_score.py --keep .portable-test $(if $(CPUS),--cpus native $(CPUS))

lint: $(TEST)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check

types: $(TEST)
	@$(BIN)/python -m mypy keras_repro

format: $(TEST)
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

benchmarks: $(DEMO)
	@ls benchmarks/*.py >/dev/null 2>&1 || { echo "no benchmarks yet"; exit 1; }
	@echo "run one of these; --help describes each:"
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "  $(BIN)/python $$script"; done

clean:
	@rm -f $(MADE) $(DEMO) $(TEST)
	@rm -rf $(VENV) .smoke .keras-tests .portable-test build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment contains its own path in many places. After its folder was moved or copied, it would
# run the code of the old folder, so it is created again.
ifneq ($(shell cat $(MADE) 2>/dev/null),$(CURDIR))
$(shell rm -f $(MADE) $(DEMO) $(TEST) $(SMOKE))
endif

# Debian's Python has no ensurepip, but sometimes pip: either is enough.
$(MADE):
	@for python in $(PYTHON) ""; do \
	    "$$python" -c 'import sys, venv, importlib.util as u; \
	        sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) \
	                      and (u.find_spec("ensurepip") or u.find_spec("pip"))))' \
	        2>/dev/null && break; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "No Python 3.11, 3.12 or 3.13 with venv and pip found (tried: $(PYTHON))." \
	        "Install one, on Debian or Ubuntu: apt-get install python3-venv;" \
	        "or name one: make PYTHON=/path/to/python" >&2; \
	    exit 2; \
	fi; \
	echo "creating the environment $(VENV) (once)..."; \
	rm -rf $(VENV); \
	if "$$python" -c 'import ensurepip' 2>/dev/null; then \
	    "$$python" -m venv $(VENV); \
	else \
	    "$$python" -m venv --without-pip $(VENV) && \
	    "$$python" -m pip --python $(BIN)/python install -qq pip; \
	fi
	@printf '%s' "$(CURDIR)" >$@

$(DEMO): $(METADATA) | $(MADE)
	@echo "installing keras_repro with TensorFlow and scikit-learn (once, about a minute)..."
	$(call install,examples,$(DEMO))

$(TEST): $(METADATA) | $(MADE)
	@echo "installing keras_repro with TensorFlow and the test tools (once, about a minute)..."
	$(call install,examples$(comma)test,$(DEMO) $(TEST))

$(SMOKE): $(METADATA) | $(MADE)
	@echo "installing keras_repro with $(PINS) (once, about a minute)..."
	$(call install,smoke,$(SMOKE))

# $(call install,EXTRAS,STAMPS): no stamp exists while pip works. An interrupted install cannot be trusted,
# so the next one then starts from a new environment. With CACHE=FOLDER (CI), finished environments are
# kept there, keyed by Python, extras and metadata, and reused with hard links.
comma := ,
define install
@rm -f $(MADE) $(DEMO) $(TEST) $(SMOKE)
@.ci/environment $(VENV) '$(1)' '$(CACHE)' $(METADATA)
@printf '%s' "$(CURDIR)" >$(MADE)
@touch $(2)
endef
