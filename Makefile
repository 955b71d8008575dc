# make run: the whole loop on the embedded model.  make test: the tests.  make lint: style and types.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml Makefile | cksum | cut -d' ' -f1)

.PHONY: run test verify-all lint types docs clean
run: $(STAMP)
	$(BIN)/trimtab run --exit-zero

test: $(STAMP)
	$(BIN)/python -m pytest

# An hour: every bit of a bundle flipped, 10,000 ledgers read by both implementations, 8 processes appending 500 times,
# long fuzzing.
verify-all: $(STAMP)
	TRIMTAB_VERIFY_ALL=1 TRIMTAB_FUZZ=20000 $(BIN)/python -m pytest tests/test_verify.py tests/test_ledger_log.py tests/test_ledger_tree.py

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

$(STAMP):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*; touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
