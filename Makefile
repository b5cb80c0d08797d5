# make book: notebooks to published pages.  make test: everything checked.  Both make .venv first.
PYTHON  ?= python3
PROFILE ?= quick
DATA    ?=
PY      := .venv/bin/python
BATCH    = $(PY) -m ecgkit.batch
OPTIONS  = --profile "$(PROFILE)" --data "$(DATA)"

.PHONY: help book test site lab publish lint clean

help:  ## this list
	@grep -hE '^[a-z]+: .*## ' Makefile | sed -E 's/^([a-z]+): .*## /make \1|/' | awk -F'|' '{printf "%-13s %s\n", $$1, $$2}'

book: .venv/installed  ## run what is out of date, build the book (PROFILE=quick; PROFILE=sample DATA=folder)
	@$(BATCH) build $(OPTIONS)

test: .venv/installed  ## the whole test suite
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

site: .venv/installed  ## build the published book, running nothing
	@$(BATCH) site

lab: .venv/installed  ## open JupyterLab on the notebooks
	@$(PY) -m jupyterlab --notebook-dir=notebooks

publish: .venv/installed  ## keep the executed notebooks of a profile in book/published
	@$(BATCH) publish $(OPTIONS)

lint: .venv/installed  ## ruff and mypy
	@$(PY) -m ruff check . && $(PY) -m mypy ecgkit

clean:  ## remove what make book made; .venv stays
	rm -rf _build .snakemake

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "ecgkit needs Python 3.11 or newer, but $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % v[:2])'
	@if command -v uv >/dev/null; then \
	  uv venv --allow-existing --python "$(PYTHON)" .venv && \
	  uv pip install --python $(PY) -c constraints.txt -e '.[book,dev]'; \
	else \
	  $(PYTHON) -m venv .venv && $(PY) -m pip install -c constraints.txt -e '.[book,dev]'; \
	fi
	@touch $@
