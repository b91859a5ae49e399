# `make` lists what can be done here. `make discover` and `make test` need nothing but Python and make.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS  ?=

# The first Python that the locked packages have wheels for. Another one: make PYTHON=/path/to/python
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
SUITABLE   := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON     ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(SUITABLE)' 2>/dev/null && echo $(p))))

# glibc gives every large block back to the system when it is freed and asks for it anew a moment later:
# most of the time of a small training step would go into page faults. Keep the memory instead.
export MALLOC_MMAP_THRESHOLD_ := 8589934592
export MALLOC_TRIM_THRESHOLD_ := 17179869184
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install discover test test-slow coverage check format bench lock clean

help:  ## list the targets
	@echo 'Targets (options go to the script or to pytest: make discover ARGS="data.ephemeris=de440")'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)  ## create .venv and install all that requirements.lock names

discover: $(STAMP)  ## find the law of gravity and the planets' masses in JPL's ephemerides
	@$(BIN)/python scripts/discover.py experiment=orbits $(ARGS)

# Two processes of one thread each.
test test-slow coverage: export OMP_NUM_THREADS := 1
test: $(STAMP)  ## run the tests
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n 2)

coverage: $(STAMP)  ## run the tests, in twice the time; at least 90 % of sciml/ must be covered
	@$(BIN)/python -m pytest -n 2 --cov=sciml --cov-report=term:skip-covered --cov-fail-under=90

test-slow: $(STAMP)  ## run the tests that take more than 10 seconds each
	@$(BIN)/python -m pytest -m slow $(ARGS)

check: $(STAMP)  ## lint, format, types, and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)  ## measure the symbolic search on laws whose form is known
	@$(BIN)/python scripts/bench_search.py $(ARGS)

# Resolved for every system at once. The CUDA libraries are left out: torch's own wheel pins those that it
# needs, and its CPU build needs none. Pins stay as they are; move them with ARGS=--upgrade.
lock: $(STAMP)  ## resolve requirements.lock anew after a change of pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@cp requirements.lock requirements.new
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --no-header --annotation-style line \
	    --quiet --output-file requirements.new $(ARGS)
	@{ grep '^#' requirements.lock; grep -Ev '^(#|nvidia|cuda|triton)' requirements.new; } > requirements.tmp
	@mv requirements.tmp requirements.lock && rm requirements.new

clean:  ## delete .venv and all caches; results in outputs/ stay
	rm -rf $(VENV) build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamped last, so that an installation that failed is taken up again. torch comes first, by itself, since it
# is by far the largest: pip then shows how far it is.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'sciml needs Python 3.11 to 3.14 and found none of: $(CANDIDATES).'; \
	    echo 'Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python'; exit 1; } >&2
	@$(PYTHON) -c '$(SUITABLE)' || { echo "sciml needs Python 3.11 to 3.14, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '$(PYTHON) cannot create virtual environments: its modules venv and ensurepip are missing.'; \
	    echo "Install them (Debian, Ubuntu: apt install python3-venv)."; exit 1; } >&2
	@echo 'Installing into $(VENV): this takes some minutes once.'
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install "$$(grep -Eo '^torch==[0-9.]+' requirements.lock)"
	@$(BIN)/python -m pip install --quiet -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
