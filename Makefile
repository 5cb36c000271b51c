# Everything that a clone needs is made below .venv and .demo; nothing else is touched.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PROGRAM := $(VENV)/.program
TOOLS := $(VENV)/.tools
BENCHES := $(VENV)/.benches

.DEFAULT_GOAL := help
# What `make bench` measures: all, or some of them: make bench BENCH='fanout storm'
BENCH ?=

.PHONY: help demo test unit molecule lab lint audit bench chaos chaos-nut fuzz gpio-lab mutants safety soak docs clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PROGRAM) ## Roll a small fleet out on this machine, pull the plug, watch it.
	@$(BIN)/powmonman demo

test: export POWMONMAN_LAB_OPTIONAL = 1
test: unit molecule ## All tests; says what it had to leave out.

# First those that keep the processors busy or wait for one thing; then those with fleets of their own,
# which play several at once; last those that measure, with nothing beside them, or print tables.
unit: $(TOOLS) ## Unit, property and integration tests.
	$(BIN)/pytest --numprocesses 4 tests/unit tests/mutants tests/checks tests/fuzz
	$(BIN)/pytest tests/integration tests/attacks tests/demo tests/soak
	$(BIN)/pytest tests/benchmarks tests/properties tests/chaos

molecule: $(TOOLS) ## A fleet of real systemd hosts in podman that really power off.
	@PATH="$(CURDIR)/$(BIN):$$PATH" molecule/run

lab: $(TOOLS) ## Some of these hosts to play with: docs/lab.md.
	@PATH="$(CURDIR)/$(BIN):$$PATH" molecule/run converge -s outage

lint: $(TOOLS) ## ruff, mypy, ansible-lint, and a scan for secrets.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --profile production --offline
	$(BIN)/python checks/scan_secrets.py

audit: $(TOOLS) ## Ask whether a package that we install is known to be vulnerable. Needs a network.
	$(BIN)/python checks/audit.py

bench: $(BENCHES) ## Speed and cost, beside others: docs/performance.md. Some alone: BENCH='startup fanout'.
	@$(BIN)/python -m benchmarks --out benchmarks/results $(BENCH); missed=$$?; \
		$(BIN)/python -m benchmarks.page --plots && exit $$missed

chaos: $(TOOLS) ## Every failure mode, on real processes and networks; prints a table.
	@POWMONMAN_CHAOS_ALL=1 $(BIN)/pytest --quiet tests/chaos

chaos-nut: $(TOOLS) ## The same on NUT, beside ours: docs/safety-beside-nut.md.
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/support $(BIN)/python -m tests.chaos.nut

fuzz: $(TOOLS) ## Everything that reads what others wrote, 60 s each: docs/fuzzing.md.
	$(BIN)/python tests/fuzz/run.py --seconds $(or $(SECONDS),60)

gpio-lab: $(TOOLS) ## The sensors gpio and battery against a real kernel: docs/gpio-lab.md.
	$(BIN)/python tests/gpio_lab/run.py

mutants: $(TOOLS) ## Take one defence away at a time, and see a test fail.
	PYTHONPATH="$(CURDIR)" $(BIN)/python -m tests.mutants.run

safety: export POWMONMAN_MINUTES ?= 60
safety: $(TOOLS) ## Faults over a whole fleet in virtual time, for an hour; POWMONMAN_MINUTES sets it.
	$(BIN)/pytest -s -v tests/properties/test_fleet.py tests/properties/test_re*.py

soak: $(TOOLS) ## 10,000 outages in a row: does anything grow? `make soak SOAK=--outages=1000`
	$(BIN)/python -m tests.soak $(SOAK)

docs: $(PROGRAM) ## Write the generated pages anew.
	$(BIN)/python -m powmonman.config.reference

clean: ## Remove what make has made.
	rm -rf $(VENV) .demo .cache build dist

$(PROGRAM): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@# One that works is kept: another Python laid over it would break it.
	@$(BIN)/pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/pip install --quiet --editable ".[ca,ansible]"
	@touch $@

$(TOOLS): $(PROGRAM)
	@echo "Adding the test and lint ..."
	@$(BIN)/pip install --quiet --group test --group lint
	@touch $@

$(BENCHES): $(TOOLS)
	@echo "Adding what draws plots ..."
	@$(BIN)/pip install --quiet --group bench
	@touch $@
