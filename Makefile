# Everything runs in .venv, which is made on first use with the pinned versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
# Two processes, each of which has whole files, as tests of a file share what is slow to make.
# In the order of their names: by default files of few tests come last, and the slowest of them have few.
TWO := -n 2 --dist loadfile --no-loadscope-reorder
# Two clusters of one node each, as most of a test is waiting.
SLURM := -n 2 --dist worksteal tests/slurm

.PHONY: demo site test test-fast slurm-test gpu-check bench lint format install clean

demo: install
	$(BIN)/lgbench run --method wave,he --grid depth --seeds 3

# The documentation as a web site; warnings are errors.
site: install
	PYTHONPATH=tools $(BIN)/python -m website

# Those of SLURM by themselves: they wait for a scheduler with its own times.
test: install
	$(BIN)/pytest $(TWO) --ignore tests/slurm
	$(BIN)/pytest $(SLURM)

test-fast: install
	$(BIN)/pytest $(TWO) --ignore tests/slurm -m "not slow"

# The tests of the SLURM executor alone, on a cluster of their own. Installs what that needs where it can.
slurm-test: install
	tools/system-packages
	$(BIN)/pytest $(SLURM)

# On a machine with a GPU: 8 minutes at most; gpu-check/check.md is the page. See benchmarks/README.md.
gpu-check: install
	$(BIN)/python benchmarks/gpu_check.py --output gpu-check

# Ten minutes; writes benchmarks/ratios.csv and the table of benchmarks/README.md.
bench: install
	$(BIN)/python benchmarks/bench.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	tools/typecheck $(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt tools/install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	tools/install
	touch $@

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache
