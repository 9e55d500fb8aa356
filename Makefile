# Everything a developer does. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help venv demo test fuzz test-slow test-emulated conformance sysroot lint type bench bench-all bench-engines bench-aarch64 bench-predicted fallback-report cost-report compression-report cost-tables placements-report clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/hetpart: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

venv: $(BIN)/hetpart ## make .venv with hetpart and the development tools, all from PyPI

demo: $(BIN)/hetpart ## compile ResNet-50 for a Snapdragon 855 and for this machine, and run it here
	@mkdir -p $(OUT)
	$(BIN)/python -m examples.zoo resnet50 -o $(OUT)/resnet50.onnx
	$(BIN)/hetpart compile $(OUT)/resnet50.onnx --target sd855 -o $(OUT)/resnet50-sd855.hetpart --overwrite
	$(BIN)/hetpart compile $(OUT)/resnet50.onnx --target host -o $(OUT)/resnet50-host.hetpart --overwrite
	$(BIN)/hetpart bench $(OUT)/resnet50-host.hetpart

test: $(BIN)/hetpart ## run the tests that need nothing but PyPI packages
	$(BIN)/python -m pytest $(TESTS) -n 2 -m "not slow and not emulated" -q

fuzz: $(BIN)/hetpart ## run the property tests on new random cases (`make test` always takes the same)
	$(BIN)/python -m pytest $(TESTS) -n 2 -m "hypothesis and not slow and not emulated" --hypothesis-profile=random -q

test-slow: $(BIN)/hetpart ## run the tests on the large models as well
	$(BIN)/python -m pytest $(TESTS) -n 2 -m "not emulated" -q

test-emulated: $(BIN)/hetpart ## run phone bundles under qemu-aarch64 (needs `make sysroot` once)
	$(BIN)/python -m pytest $(TESTS) -m emulated -q -rs

conformance: $(BIN)/hetpart ## run all of ONNX's backend tests and print what came of them, by operator
	$(BIN)/python -m tests.conformance.run --paste docs/conformance.md

sysroot: ## install what test-emulated needs: Debian packages and an arm64 root (as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq qemu-user-static binutils-aarch64-linux-gnu
	hetpart/runtime/emulation/sysroot.sh

lint: $(BIN)/hetpart ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --diff .

# mypy cannot follow package_dir in an editable install, so it gets a tree of links that looks like the package
type: $(BIN)/hetpart ## check types
	@rm -rf build/types && mkdir -p build/types/hetpart
	@ln -s $(CURDIR)/hetpart/* build/types/hetpart/
	@ln -s $(CURDIR)/passes build/types/hetpart/passes
	@ln -s $(CURDIR)/targets build/types/hetpart/targets
	@ln -s $(CURDIR)/benchmarks $(CURDIR)/examples build/types/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/setup.cfg -p hetpart -p benchmarks

bench: $(BIN)/hetpart ## measure three networks on one core, beside the engines that are installed
	@mkdir -p $(OUT)
	$(BIN)/python -m benchmarks.models --keep $(OUT)/engines

bench-all: $(BIN)/hetpart ## measure all networks beside all engines (see bench-engines), on one core and on two
	@mkdir -p $(OUT)
	$(BIN)/python -m benchmarks.models --all --keep $(OUT)/engines --json $(OUT)/bench-1.json --paste docs/performance.md
	$(BIN)/python -m benchmarks.models --all --cores 2 --keep $(OUT)/engines --json $(OUT)/bench-2.json --paste docs/performance.md

bench-engines: $(BIN)/hetpart ## install the engines that bench-all compares with, from PyPI
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'pnnx >= 20261020'

bench-aarch64: $(BIN)/hetpart ## judge the phone kernels' inner loops with llvm-mca (Debian: apt-get install llvm-19)
	$(BIN)/python -m benchmarks.aarch64 --paste docs/performance.md

fallback-report: $(BIN)/hetpart ## count what other engines do not support of the sample networks, for docs/fallback.md
	$(BIN)/python -m benchmarks.fallback --paste docs/fallback.md

cost-report: $(BIN)/hetpart ## fit published phone latencies again and write docs/cost-model.md
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.phones.fit
	$(BIN)/python -m benchmarks.phones.convolutions
	$(BIN)/python -m benchmarks.phones.picture
	$(BIN)/python -m benchmarks.phones.report

cost-tables: $(BIN)/hetpart ## derive the phones' cost tables from that fit, in targets/, and write docs/cost-tables.md
	$(BIN)/python -m benchmarks.phones.derive
	$(BIN)/python -m benchmarks.phones.tables

placements-report: $(BIN)/hetpart ## tell placements that lose from those that win, for docs/placements.md (10 minutes)
	$(BIN)/python -m benchmarks.phones.placements_report

compression-report: $(BIN)/hetpart ## what compression gains, estimated beside published and measured, for docs/compression.md
	$(BIN)/python -m benchmarks.compression --paste docs/compression.md

bench-predicted: $(BIN)/hetpart ## profile all networks here, and compare predicted with measured latencies (25 minutes)
	@mkdir -p $(OUT)
	$(BIN)/python -m benchmarks.predicted --all --json $(OUT)/predicted.json --paste docs/profile.md

clean: ## delete what was made here
	rm -rf $(OUT) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
