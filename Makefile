# Everything here sets itself up on a bare Debian 12+ or Ubuntu: system packages (by apt,
# where root or sudo is there), a virtual environment in .venv, then the work itself.
SHELL := /bin/bash
# The system's Python where there is one: a build user must be able to run it, and may not
# come to one that lies in somebody's home.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
export PYTHON
VENV ?= .venv
BIN := $(VENV)/bin
ROLE ?= reference
# What a minute is enough for. All checks: make demo DEMO_CHECKS=
DEMO_CHECKS ?= --suite base,docker -k "not docker__"

.PHONY: help demo test lint unit integration test-pipeline test-sabotage test-faults test-layers test-lab \
	benchmark benchmark-build reference docs wheel clean

help:
	@echo "make demo         build, boot and smoke-test the reference node, write the report"
	@echo "make test         linters, types, unit tests, integration tests on a real node"
	@echo "make lint | unit | integration   the parts of it"
	@echo "make test-sabotage each smoke check made to fail and to pass again, on real nodes"
	@echo "make test-faults  faults on real nodes that take their time"
	@echo "make test-pipeline  the jobs of a generated pipeline and a guide of docs/, as written"
	@echo "make test-layers  kas, bitbake and runqemu on real layers (YOCTOVIRT_LAYER_MIRRORS)"
	@echo "make test-lab     a real OpenStack in namespaces, and the suites on it (root, 10 GiB)"
	@echo "make benchmark    side-by-side measurements (make benchmark-build: kas, with real layers)"
	@echo "make reference    docs/reference.md, from the parser; make docs: the user guide, in site/"
	@echo "make wheel        the package, in dist/"

.venv-stamps:
	@mkdir -p $@

# Each stamp says which set-up was done; it is older than what it was made of after a change.
.venv-stamps/host-%: scripts/host-setup | .venv-stamps
	scripts/host-setup $*
	@touch $@

.venv-stamps/run: pyproject.toml .venv-stamps/host-demo
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv-stamps/dev: pyproject.toml .venv-stamps/host-test
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	# Only for the axe-core in it, which the tests of the report use: without Playwright itself.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'axe-playwright-python>=0.1.8'
	@touch .venv-stamps/host-demo .venv-stamps/run $@

demo: .venv-stamps/run
	$(BIN)/yoctovirt --workspace demo ci $(ROLE) $(DEMO_CHECKS)

lint: .venv-stamps/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv-stamps/dev
	$(BIN)/pytest -q -n 2 --must-run tests/unit

integration: .venv-stamps/dev
	YOCTOVIRT_REQUIRE_BROWSER=1 $(BIN)/pytest -v -rs --durations=40 --durations-min=5 --must-run -n 2 --dist loadfile \
		-m "not faults and not pipeline" tests/integration

# -rs names each test that was skipped and why; those that were deselected have their target.
test: lint unit integration
	@echo "left to targets of their own: make test-faults (deselected above: faults that take"
	@echo "their time), make test-pipeline (jobs of a generated pipeline, a guide of docs/), make test-sabotage (each smoke check both ways), make test-layers (real layers, kas, bitbake and runqemu),"
	@echo "make test-lab (a real OpenStack)"

test-sabotage: .venv-stamps/dev
	$(BIN)/pytest -v -rs --durations=10 --must-run --sabotage-seen=sabotage-seen.md tests/sabotage

# -rP shows what the jobs printed.
test-pipeline: .venv-stamps/dev
	$(BIN)/pytest -v -rsP --durations=10 --must-run -m pipeline tests/integration

test-faults: .venv-stamps/dev
	$(BIN)/pytest -v -rs --durations=10 --must-run -m faults tests/integration tests/faults

test-layers: .venv-stamps/dev
	scripts/host-setup layers
	$(BIN)/pytest -v -rs --must-run tests/layers

test-lab: .venv-stamps/dev
	$(BIN)/pytest -v -rs --durations=10 --must-run tests/lab

benchmark: .venv-stamps/dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/follow.py
	$(BIN)/python benchmarks/boot.py
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/smoke.py

benchmark-build: .venv-stamps/dev
	scripts/host-setup layers
	$(BIN)/python benchmarks/build.py

reference: .venv-stamps/dev
	$(BIN)/python scripts/reference.py

docs: .venv-stamps/dev
	$(BIN)/mkdocs build --strict --quiet --site-dir site

wheel: .venv-stamps/dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) .venv-stamps dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
