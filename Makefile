# The first target that runs makes .venv: about 3 minutes, and 6 GB where pip picks the CUDA build of torch.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: report test lab refresh

report: $(READY) ## execute the notebooks into reports/
	$(BIN)/python -m vsacc.datasets.mnist
	$(BIN)/python -m vsacc.report

test: $(READY) ## everything CI checks
	$(BIN)/ruff check .
	$(BIN)/python -m vsacc.datasets.mnist
	$(BIN)/pytest --nbval

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

refresh: $(READY) ## re-execute the committed notebooks in place, profile quick
	$(BIN)/python -m vsacc.refresh

# Installed anew when the dependency list changes; a stopped installation is taken up again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "vsacc: $(PYTHON) is not Python 3.11 or newer, install one and name it: make PYTHON=python3.12" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	@touch $@
