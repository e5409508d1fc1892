# The handbook's commands. A machine needs python3 (3.11 or newer), make and git, nothing else.
# `make PYTHON=python3.12 handbook` chooses a Python; `make JOBS=8 test` chooses how many processes test.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ "$$n" -gt 8 ] && n=8; [ "$$n" -lt 2 ] && n=2; echo $$n)
PORT ?= 8000
CHAPTERS ?=
PY := .venv/bin/python

# One thread a process, no telemetry, caches inside the environment: the same results on every machine.
CACHE := $(CURDIR)/.venv/cache
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export VECLIB_MAXIMUM_THREADS := 1
export NUMEXPR_NUM_THREADS := 1
export ORT_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLCONFIGDIR := $(CACHE)/matplotlib
export IPYTHONDIR := $(CACHE)/ipython
export JUPYTER_RUNTIME_DIR := $(CACHE)/jupyter
export PYTHONPATH :=
unexport MPLBACKEND

# $(call step,what,command): say what is done and how long it took.
define step
@start=$$(date +%s); echo "-- $(1)"; $(2) && echo "   $$(( $$(date +%s) - start )) s"
endef

.PHONY: help handbook test env export site rerun artifacts lab serve bench data readme lint clean python

help:  ## this list
	@echo "make handbook   the environment, the package and the site in _site; then \`make serve\`"
	@echo "make test       everything that is checked"
	@echo "make serve      the site at http://localhost:$(PORT)"
	@echo "make lab        JupyterLab on the chapters"
	@echo "make rerun      every chapter executed again, outputs and provenance refreshed (CHAPTERS=measure/ for some)"
	@echo "make artifacts  results that take long computed again and stored (ARGS=--stale for those that no longer fit)"
	@echo "make lint       budgets and rules of the chapters, and the code's style"
	@echo "make bench      our speed beside that of other libraries"
	@echo "make data       data/ built again from the pinned artefacts"
	@echo "make clean      what was built removed (the environment stays; rm -r .venv for that too)"

handbook: env export site  ## environment, package, site
	@echo
	@echo "The handbook is in _site. To read it:  make serve   (then http://localhost:$(PORT))"

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); the handbook needs 3.11 or newer. Name one: make PYTHON=python3.12"; exit 1; }

env: python
	@$(PYTHON) tools/environment.py

export: env
	$(call step,package: chapters exported,$(PY) -m tools.export)

site: env
	$(call step,site: chapters rendered into _site,$(PY) tools/build_site.py)

test: env
	TQDM_DISABLE=1 $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

rerun: export
	$(call step,chapters re-executed,$(PY) -m tools.rerun -j $(JOBS) $(CHAPTERS))
	$(call step,README.md from the home chapter,$(PY) -m tools.readme)

artifacts: export
	$(call step,stored results computed,$(PY) -m tools.artifacts -j $(JOBS) $(ARGS) $(CHAPTERS))

readme: env
	$(call step,README.md from the home chapter,$(PY) -m tools.readme)

lab: env
	$(PY) -m jupyterlab nbs $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

serve:
	@test -f _site/index.html || { echo "There is no site yet: make handbook"; exit 1; }
	@$(PYTHON) -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0)' || \
		{ echo "Port $(PORT) is taken. Another one: make serve PORT=$$(( $(PORT) + 1 ))"; exit 1; }
	@echo "http://localhost:$(PORT)   (Ctrl-C stops it)"
	@$(PYTHON) -m http.server $(PORT) --directory _site --bind 127.0.0.1

lint: env
	$(call step,chapters,$(PY) -m tools.lint)
	$(call step,code,$(PY) -m ruff check .)

bench: env
	$(PY) -m bench

data: env
	$(call step,data built,$(PY) tools/build_data.py)

clean:
	rm -rf _site _proc _build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -print -prune | xargs rm -rf
	find nbs portfolio_ml data -name '.*.tmp' -delete
