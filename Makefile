# The first target that runs makes .venv: about 3 minutes, and 6 GB where pip picks the CUDA build of torch.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Runs the command that follows while no other make does.
ALONE := import fcntl, subprocess, sys; here = open("Makefile", "r+"); fcntl.flock(here, fcntl.LOCK_EX); \
  sys.exit(subprocess.call(sys.argv[1:]))

.PHONY: report test lab refresh

report: $(READY) ## execute the notebooks into reports/
	$(BIN)/vsacc prepare mnist
	$(BIN)/vsacc report

test: $(READY) ## everything CI checks
	$(BIN)/ruff check .
	$(BIN)/vsacc prepare mnist
	$(BIN)/vsacc prepare fivek-standin --profile quick
	$(BIN)/pytest --nbval

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

refresh: $(READY) ## renew what is committed: the notebooks in profile quick, README's table and pictures
	$(BIN)/vsacc refresh

# Installed anew when the dependency list changes; a stopped installation is taken up again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "vsacc: $(PYTHON) is not Python 3.11 or newer, install one and name it: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c '$(ALONE)' sh -c 'test $@ -nt $< || \
	  { { test -x $(BIN)/pip || $(PYTHON) -m venv .venv; } && $(BIN)/pip install -e ".[dev]" && touch $@; }'
