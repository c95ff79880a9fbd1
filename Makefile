# make demo: set up, run the main job, print the verdict.   make test: set up, pass all tests.
# make android-classes: the Kotlin class of AARs, after a change of it or of an example in Kotlin.
# make sanitize: the C code under AddressSanitizer, UBSan and ThreadSanitizer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs-installed
INTEL_OPENCL := $(VENV)/.intel-opencl
WORKDIR ?= edgedeblur-work
# Debian packages that the tests use: ARM programs are executed under qemu; adb's own server speaks to a phone's double;
# llvm-mca times machine code; exiftool reads what deblur wrote; Chromium shows the page of view; PoCL
# is OpenCL in software.
TEST_TOOLS := qemu-aarch64:qemu-user adb:adb llvm-mca-22:llvm-22 exiftool:libimage-exiftool-perl \
	chromium:chromium chromedriver:chromium-driver /etc/OpenCL/vendors/pocl.icd:pocl-opencl-icd

.PHONY: demo test gpu fuzz sanitize android-classes benchmarks benchmarks-arm faults docs lint setup test-tools clean

demo: setup
	@$(BIN)/edgedeblur run --workdir $(WORKDIR); status=$$?; \
	if [ $$status -eq 3 ]; then echo "The demo ran to its end; the verdict is 'fail' (bench's exit code 3)."; exit 0; fi; \
	exit $$status

# Two processes, each with one thread of its own: on two cores they take little more than half the time of one.
TEST_PROCESSES ?= 2
test: setup test-tools lint
	@$(BIN)/python tests/support/c_libraries.py &
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

# The C runtime, the emitted C and the kernels under sanitizers; docs/reliability.md has the figures.
sanitize: setup
	$(BIN)/python tests/sanitize/sanitizers.py

# Deblurrer.kt as the classes.jar that AARs carry, which is kept in the repository: needs a JDK and Kotlin's compiler
# (apt-get install default-jdk-headless kotlin).
android-classes:
	$(PYTHON) tests/android/classes.py

# Damaged files for every loader, 5,000 each where `make test` has 100: docs/reliability.md.
FUZZ_COUNT ?= 5000
fuzz: setup
	@$(BIN)/python tests/fuzz/harness.py --count $(FUZZ_COUNT) --part 0/2 & other=$$!; \
	$(BIN)/python tests/fuzz/harness.py --count $(FUZZ_COUNT) --part 1/2; status=$$?; \
	wait $$other && exit $$status

benchmarks: setup
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -s

# The shipped networks at 512x512 and drawn layers on every OpenCL of this machine and on Intel's for CPUs, and as PTX:
# docs/gpu.md.
SHAPES ?= 200
gpu: setup test-tools $(INTEL_OPENCL)
	$(BIN)/python tests/compile/long_gpu.py --shapes $(SHAPES)

# 0.8 GB, for x86 processors only; nothing else uses it.
$(INTEL_OPENCL): $(INSTALLED)
	-$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[intel-opencl]' && touch $@

# Instructions of an image on an ARM core, counted by QEMU, beside other runtimes' (fetched into build/arm64), and their
# cycles by LLVM's model of one: NETWORKS="a.edq b.edq" for others than the shipped small.
NETWORKS ?=
AGAINST ?= onnxruntime,litert,mnn
CORE ?= neoverse-n1
benchmarks-arm: setup test-tools
	$(BIN)/python benchmarks/arm_instructions.py $(NETWORKS) --against "$(AGAINST)" --cycles $(CORE)

# Commands that are killed at many moments, run out of disk, or meet another of their kind; KILLS of each by each signal.
KILLS ?= 10
faults: setup
	$(BIN)/python tests/faults/long.py --kills $(KILLS)

# The documentation as a site in build/site; a warning is an error.
docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: $(INSTALLED)

$(INSTALLED): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "edgedeblur needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[peers,training,adb,heic,video,test]'
	@touch $@

test-tools:
	@for pair in $(TEST_TOOLS); do \
		tool=$${pair%%:*}; package=$${pair##*:}; \
		if [ -e $$tool ] || command -v $$tool >/dev/null; then continue; fi; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq $$package >/dev/null || \
				echo "note: $$package cannot be installed; the tests that need $$tool are skipped"; \
		else echo "note: without $$tool (apt-get install $$package) the tests that need it are skipped"; fi; \
	done

# The students that ship, made again from the data in MATERIAL: make build/students/small.edq, nano.edq, large.edq. Their
# stages are for a GPU (ten minutes each); a CPU takes days, and smaller batches. After an interruption the same command
# goes on; FIRST="--minutes 10" shows the beginning of the first curve.
MATERIAL ?= ../shared/material
STUDENTS := build/students
RECIPES := edgedeblur/training/recipes
LEARNED_FROM = $(foreach set,cid22 clic2025_half kodak elementary unsplash,--data photos:$(MATERIAL)/photos/$(set)) \
	--data frames:$(MATERIAL)/gopro_video_240fps \
	$(foreach share,gopro720_0372@0.12 gopro256_half@0.12 reds720_hamam@0.05 reds720_020@0.05, \
		--data pairs:$(MATERIAL)/pairs_train/$(share))
MADE_FROM = $(LEARNED_FROM) \
	$(addprefix --validation $(MATERIAL)/pairs/,gopro720 gopro720avg gopro256 reds320)
DISTILL = $(BIN)/edgedeblur distill --tier $(basename $(basename $(@F))) $(MADE_FROM) $(BEGUN) -o $@
BEGUN = $(if $(wildcard $(@:.safetensors=.state.pt)),--resume)
STEPS_small := 76087
STEPS_nano := 43689
STEPS_large := 44801
FIRST ?= --steps $(STEPS_$*)
TUNED_ON = $(subst --data,--finetune-data,$(LEARNED_FROM))
QUANTIZED_nano = --winograd-form --finetune-steps 6000 $(TUNED_ON)
QUANTIZED_small = --winograd-form --finetune-steps 10000 $(TUNED_ON)
QUANTIZED_large = --finetune-steps 2500 $(TUNED_ON)
WIDE_small := 19850
WIDE_nano := 22417
WIDE_large := 15178

$(STUDENTS)/%.gated.safetensors: | setup
	$(DISTILL) --init none --recipe $(RECIPES)/student-gated.toml $(FIRST)

# It starts as what computes the same as the finished small one.
$(STUDENTS)/large.gated.safetensors: $(STUDENTS)/small.wide.safetensors
	$(DISTILL) --init $< --recipe $(RECIPES)/student-gated.toml --rate 1.2e-3 --batch 16 --crop 256 --steps $(STEPS_large)

$(STUDENTS)/%.wide.safetensors: $(STUDENTS)/%.gated.safetensors
	$(DISTILL) --init $< --recipe $(RECIPES)/student-gated-wide.toml --steps $(WIDE_$*)

$(STUDENTS)/nano.between.safetensors: $(STUDENTS)/nano.gated.safetensors $(STUDENTS)/nano.wide.safetensors
	$(BIN)/python benchmarks/training/between.py $^ 0.7 $@

$(STUDENTS)/nano.edq: $(STUDENTS)/nano.between.safetensors
$(STUDENTS)/small.edq $(STUDENTS)/large.edq: $(STUDENTS)/%.edq: $(STUDENTS)/%.wide.safetensors
$(STUDENTS)/%.edq:
	$(BIN)/edgedeblur quantize $< $(QUANTIZED_$*) -o $@

.SECONDARY:

clean:
	rm -rf $(VENV) $(WORKDIR) build *.egg-info
