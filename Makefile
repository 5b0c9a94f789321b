# Every target does its own set-up: on a fresh machine nothing but python3 (3.11 or later) is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := train,dev

.PHONY: run demo test lint format clean

run: demo  ## paint the example photos with all four normalizers

demo: $(VENV)/.run
	$(BIN)/python stylize.py examples/*.jpg --style mosaic --norm all --out out
	@echo "Done. Look at out/astronaut-mosaic.png: the photo and its four paintings side by side."

test: $(VENV)/.test  ## the whole test suite
	$(BIN)/python -m pytest

lint: $(VENV)/.test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build out .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	touch $@

$(VENV)/.test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@
