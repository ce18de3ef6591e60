# Every target works in a bare clone: it needs make, Python 3.11 or newer and pip.

PYTHON ?= python3
VENV ?= .venv
IMAGE ?= examples/garden.png
QUESTION ?= How many butterflies and tulips are there in total?

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock
CHECKED := cot tests $(wildcard evals/*.py benchmarks/*.py)

.PHONY: demo calibration baselines gate chat-session test lint types check format lock clean python
.DELETE_ON_ERROR:

demo: $(VENV)/core
	$(BIN)/cot ask $(IMAGE) "$(QUESTION)" --strategy decompose
	@echo "What next: $(BIN)/cot trace show last              how it came to that" >&2
	@echo "           $(BIN)/cot chat examples/garden.png     talk about a picture" >&2
	@echo "           $(BIN)/cot ask YOUR.png 'How many?'     what it can see, README.md says" >&2

# To be made again whenever the weights are: other weights do not use it. It has not learned to ask in other words.
calibration: $(VENV)/all
	$(BIN)/cot calibrate embedded --limit 1200 --no-votes --rounds 1 --out cot/weights/calibration.json
	rm -f cot/weights/calibration.json.before

# What `make gate` holds scores to, and what README.md's table shows; to be made again whenever the weights are.
baselines: $(VENV)/all
	rm -rf build/baselines
	$(BIN)/cot eval smoke --out build/baselines
	cp build/baselines/summary.json evals/baselines/smoke.json
	$(BIN)/python -m evals.embedded --out evals/baselines/families.json

# Whether the embedded model still answers as well as it did, on a subset of what it claims.
gate: $(VENV)/all
	rm -rf build/gate
	$(BIN)/cot eval smoke --gate evals/baselines/smoke.json --out build/gate

# The conversation that README.md shows.
chat-session: $(VENV)/core
	$(BIN)/python examples/chat.py

test: $(VENV)/all
	$(BIN)/python -m pytest

lint: $(VENV)/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/all
	$(BIN)/mypy --strict $(CHECKED)

check: lint types test

# The newest versions that fit together, all extras included; torch stays where it is pinned.
# Only names and versions are kept, so the CPU and the CUDA build of torch both satisfy it.
lock: $(BIN)/python
	mkdir -p build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
		--report build/lock.json 'torch==2.13.0' --editable '.[train,preview,ocr,parquet,datasets,dev]'
	$(BIN)/python -c "$$WRITE_LOCK"

define WRITE_LOCK
import json
found = [item["metadata"] for item in json.load(open("build/lock.json"))["install"]]
pins = {item["name"].lower().replace("_", "-"): item["version"].partition("+")[0] for item in found}
dropped = ("nvidia-", "cuda-", "triton")
pins = {name: pins[name] for name in sorted(pins) if name != "cot" and not name.startswith(dropped)}
with open("requirements.lock", "w") as lock:
    lock.write("# All that cot and its extras need, as constraints:\n")
    lock.write("#   pip install --constraint requirements.lock --editable .\n")
    lock.write("# Made by 'make lock'. What torch itself pins for CUDA is left to torch.\n")
    lock.writelines(f"{name}=={version}\n" for name, version in pins.items())
endef
export WRITE_LOCK

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: installing is repeated only when what is installed has changed.
$(VENV)/core: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing cot into $(VENV); the first time this takes minutes."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/all: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing cot with its extras into $(VENV); the first time this takes minutes."
	$(INSTALL) --editable '.[train,preview,ocr,parquet,datasets,dev]'
	@touch $(VENV)/core $@

$(BIN)/python: | python
	$(PYTHON) -m venv $(VENV)

python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
		"error: $(PYTHON) is Python %d.%d, cot needs 3.11 or newer; try: make PYTHON=python3.11" % sys.version_info[:2])'
