# The two commands of the README: `make run` and `make test`. Everything they need is set up here.
PYTHON ?= python3.11
ifeq (,$(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
# Tests that run side by side. Each file stays in one process, since tests of a file share what was made for it.
WORKERS ?= 2

.PHONY: run test torch executorch reports check lint format clean

# Two of the quick suite's variants are made with torch. `make run TORCH=no` does without: they are left out, and the
# page says so.
TORCH ?= yes
run: $(VENV)/$(if $(filter no,$(TORCH)),run,torch).stamp
	@$(BIN)/bench run --suite quick --device local; code=$$?; \
	  [ $$code -le 1 ] || exit $$code; \
	  $(BIN)/bench report latest && exit $$code

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS)

torch: $(VENV)/torch.stamp

executorch: $(VENV)/executorch.stamp

# The committed pages, from the committed runs and claim files.
reports: $(VENV)/run.stamp
	$(BIN)/bench report example --out reports/example
	$(BIN)/bench report llama32-1b-shape --out reports/llama32-1b-shape
	$(BIN)/bench claims audit llama32-quantized --out reports/llama32-quantized-audit > /dev/null

check: lint
	$(BIN)/python -m pytest tests/unit -q -n $(WORKERS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bench needs Python 3.11 or newer ($(PYTHON) is older)"; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 2; }

# Pinned by hash; the project itself is installed in place, without a look at the network.
$(VENV)/run.stamp: pyproject.toml requirements/run.txt requirements/build.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The runtime hf and the recipes that learn. torch first and by itself: a looser range may bring gigabytes of CUDA.
$(VENV)/torch.stamp: $(VENV)/run.stamp requirements/torch.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.txt
	touch $@

# The runtime executorch: the wheel alone, since it names requirements of backends that are not used here.
$(VENV)/executorch.stamp: $(VENV)/torch.stamp requirements/executorch.txt requirements/executorch-wheel.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/executorch.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/executorch-wheel.txt
	touch $@

$(VENV)/test.stamp: $(VENV)/executorch.stamp requirements/test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
