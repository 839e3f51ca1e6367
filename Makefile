# make run    the workbench on http://127.0.0.1:8501 (the first time it installs everything into .venv)
# make test   all tests, the browser ones included
# make lint   ruff and mypy

PORT ?= 8501
JOBS ?= auto
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: run test lint format
.DELETE_ON_ERROR:

run: .venv/.installed
	@echo "The workbench opens on http://127.0.0.1:$(PORT) - stop it with Ctrl+C."
	@$(BIN)/python -m streamlit run app.py --server.port $(PORT)

test: .venv/.installed-dev
	@$(BIN)/python -m tests.e2e.chromium
	@$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 4 --dist loadfile $(ARGS)

lint: .venv/.installed-dev
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

format: .venv/.installed-dev
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

.venv/bin/python:
	@python=""; \
	for name in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python; do \
	  if [ -n "$$name" ] && "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python="$$name"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "No Python 3.11 or newer was found: install one, or name it: make run PYTHON=/path/to/python3.11" >&2; \
	  exit 1; fi; \
	"$$python" -m venv .venv >/dev/null || { rm -rf .venv; \
	  echo "Python cannot make a virtual environment: on Debian or Ubuntu, apt install python3-venv" >&2; \
	  exit 1; }

.venv/.installed: requirements.txt constraints.txt | .venv/bin/python
	@echo "Installing the requirements into .venv (only this once, some minutes) …"
	@$(PIP) -r requirements.txt -c constraints.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@$(PIP) -r requirements-dev.txt -c constraints.txt
	@touch $@
