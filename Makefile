# One command per habit. Everything but `clean` sets up .venv first, once, and again when what it was made from has changed.
# Needed on the machine: Python 3.11 or newer (PYTHON=python3.12 chooses one) and a C++ compiler. The rest comes from PyPI.

PYTHON     ?= python3
BIN        := $(CURDIR)/.venv/bin
JOBS       ?= 2
SANITIZERS ?= address undefined thread
EXTRAS     := cli,torch,tasks,explain,onnx,examples,test
BUILD_TOOLS := scikit-build-core cmake ninja
NATIVE     := CMakeLists.txt $(shell find native -type f 2>/dev/null)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test check sanitize isa clang neon bench wheel clean distclean
.DELETE_ON_ERROR:

setup: .venv/installed

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "recell needs Python 3.11 or newer; came $$($(PYTHON) -V 2>&1); write make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/dependencies: .venv/python pyproject.toml constraints.txt
	@echo "setting up .venv: the first time downloads torch and the tools of development"
	$(BIN)/python -m pip install -qq --constraint constraints.txt $(BUILD_TOOLS)
	@touch $@

# An editable install: Python files are read from src/, the native library is compiled into .venv, incrementally.
.venv/installed: .venv/dependencies $(NATIVE) Makefile
	$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

# A test process that crashes ends the run as a failure: replaced, it may leave the others waiting for ever.
CRASH_ENDS := --max-worker-restart 0

# Several test processes share the machine with torch's worker threads: here, waiting threads sleep instead of spinning.
test check isa clang: export OMP_WAIT_POLICY = passive

test: setup
	$(BIN)/python -m pytest -n $(JOBS) $(CRASH_ENDS) --dist loadgroup

check: setup
	$(BIN)/ruff check --output-format concise src tests examples
	$(BIN)/pyright
	$(BIN)/python -m pytest -q -n $(JOBS) $(CRASH_ENDS) --doctest-modules src
	$(BIN)/python -m pytest -q -n $(JOBS) $(CRASH_ENDS) --dist loadgroup -m 'not slow' tests/test_house.py tests/graph tests/language

# The native runtime and its tests under gcc's sanitizers, reached through ctypes and NumPy: Python itself is not instrumented.
sanitize: $(SANITIZERS:%=sanitize-%)

sanitize-%: setup
	PYTHON=$(BIN)/python .ci/sanitize $*

# The cpu backend's laws on every instruction set of this machine; the same compiled by Clang; NEON in an emulator.
isa clang neon: setup
	PYTHON=$(BIN)/python JOBS=$(JOBS) .ci/$@

bench: setup
	$(BIN)/python -m pip install -qq --constraint constraints.txt --no-build-isolation --editable '.[bench]'
	$(BIN)/python -m recell bench $(BENCH)

wheel: setup
	$(BIN)/python -m pip wheel --no-build-isolation --no-deps --wheel-dir dist .

clean:
	rm -rf build dist demo .pytest_cache .ruff_cache .hypothesis
	rm -f .venv/installed

distclean: clean
	rm -rf .venv
