# make demo: set up, run the main job, print the verdict.   make test: set up, pass all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKDIR ?= edgedeblur-work
# Debian packages that the tests use: ARM programs are executed under qemu; adb's own server speaks to a phone's double;
# llvm-mca times machine code.
TEST_TOOLS := qemu-aarch64:qemu-user adb:adb llvm-mca-22:llvm-22

.PHONY: demo test benchmarks lint setup test-tools clean

demo: setup
	@$(BIN)/edgedeblur run --workdir $(WORKDIR); status=$$?; \
	if [ $$status -eq 3 ]; then echo "The demo ran to its end; the verdict is 'fail' (bench's exit code 3)."; exit 0; fi; \
	exit $$status

test: setup test-tools lint
	$(BIN)/python -m pytest

benchmarks: setup
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -s

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: $(INSTALLED)

$(INSTALLED): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "edgedeblur needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[peers,training,adb,test]'
	@touch $@

test-tools:
	@for pair in $(TEST_TOOLS); do \
		tool=$${pair%%:*}; package=$${pair##*:}; \
		command -v $$tool >/dev/null && continue; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq $$package >/dev/null || \
				echo "note: $$package cannot be installed; the tests that need $$tool are skipped"; \
		else echo "note: without $$tool (apt-get install $$package) the tests that need it are skipped"; fi; \
	done

clean:
	rm -rf $(VENV) $(WORKDIR) build *.egg-info
