# Two commands matter: `make demo` and `make test`. Both make their own virtual environments below .venv/.
PYTHON ?= python3
BIN := .venv/package/bin
ORACLE := .venv/oracle/bin/python

.PHONY: demo test soak check docs clean

demo: .venv/demo/.done
	.venv/demo/bin/eutectic demo

.venv/demo/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/demo
	.venv/demo/bin/pip install -q --disable-pip-version-check -c constraints.txt .
	touch $@

.venv/package/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/package
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/oracle/.done: constraints-oracle.txt
	$(PYTHON) -m venv .venv/oracle
	.venv/oracle/bin/pip install -q --disable-pip-version-check -r constraints-oracle.txt
	touch $@

check: .venv/package/.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check .venv/oracle/.done
	EUTECTIC_ORACLE_PYTHON=$(abspath $(ORACLE)) $(BIN)/python -m pytest -m "not soak"

soak: .venv/package/.done .venv/oracle/.done
	EUTECTIC_ORACLE_PYTHON=$(abspath $(ORACLE)) $(BIN)/python -m pytest --soak

docs: .venv/package/.done
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv
