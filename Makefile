PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.installed-demo
OUT ?= runs/demo
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint bench clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

# The demo needs little of what the tests need, and half of the time for it.
$(DEMO_STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[tabletop]"
	touch $(DEMO_STAMP)

# Episodes of embodied-qa are long, so there are fewer of them.
demo: $(DEMO_STAMP)  ## install, run all four tasks with the controls and (where it applies) a point cloud, write the report
	$(BIN)/worldloop run --task active-recognition,image-goal,manipulation,embodied-qa --model none,oracle,pointcloud --split mini --episodes embodied-qa=4 --out $(OUT)
	$(BIN)/worldloop view $(OUT) --html $(OUT)/report.html

lint: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks scripts
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) lint  ## install, then every check that needs neither minutes nor a GPU nor a network
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=term -q

bench: $(STAMP)  ## measure; each writes JSON into benchmarks/results
	for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

clean:
	rm -rf $(VENV) build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
