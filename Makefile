# One command each; what a command does is in the programs it calls.
.DEFAULT_GOAL := help
# make PYTHON=python3.12 run: the Python that .venv is made with
PYTHON ?=
VENV ?= .venv
PY := $(VENV)/bin/python
IMAGE ?= examples/rocket.jpg
PROMPT ?= the rocket lifts off, smoke billowing over the water
FRAMES ?= 25
OUT ?= outputs
SCRIPTS := builder.sh build_and_deploy.sh requirements/environment.sh requirements/install_comfyui.sh requirements/layers.sh requirements/lock.sh .ci/run .ci/try_image.sh tests/browser/install_chromium.sh
# Tests wait for processes more than they work; files that take long come first.
SIDE_BY_SIDE := -n 4 --dist loadfile --no-loadscope-reorder
COMFYUI_CUDA ?= cu128
COMFYUI_ARGS ?= $(if $(shell command -v nvidia-smi),,--cpu)

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/local ## one image in, one clip out: outputs/<job id>/clip.mp4 (IMAGE= PROMPT= FRAMES= OUT=)
	@$(PY) test_runpod_local.py sync --start-worker --image "$(IMAGE)" --prompt "$(PROMPT)" --frames $(FRAMES) --out $(OUT)

serve: $(VENV)/local ## the worker, and a page to try it on, at http://localhost:8000
	@$(PY) handler.py

comfyui: $(VENV)/local ## the worker on a real ComfyUI, as in the container: a GPU, or patience; 21 GB of models (COMFYUI_ARGS=)
	@requirements/install_comfyui.sh environment .comfyui/.venv requirements/comfyui-$(COMFYUI_CUDA).txt
	@requirements/install_comfyui.sh tree .comfyui .comfyui/.venv
	@COMFYUI_DIR=$(CURDIR)/.comfyui WORKER_PYTHON=$(CURDIR)/$(PY) COMFYUI_ARGS="$(COMFYUI_ARGS)" \
		RUNPOD_INIT_TIMEOUT=86400 ./builder.sh $(CURDIR)/$(PY) handler.py

test: $(VENV)/dev ## all tests
	@tests/browser/install_chromium.sh
	@$(PY) -m pytest $(SIDE_BY_SIDE)

check: $(VENV)/dev ## lint, types, tests: what CI runs
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m docs.generate --check
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/zizmor --offline --no-progress .github
	@$(VENV)/bin/shellcheck $(SCRIPTS)
	@$(VENV)/bin/shfmt -i 2 -d $(SCRIPTS)
	@$(VENV)/bin/hadolint Dockerfile
	@tests/browser/install_chromium.sh
	@$(PY) -m pytest $(SIDE_BY_SIDE)

test-next: ## tests/platform on the newest pre-release of the SDK's version 2, in an environment of its own
	@$(MAKE) --no-print-directory VENV=.venv-next .venv-next/dev
	@.venv-next/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'runpod>=2.0.0rc1,<3'
	@.venv-next/bin/python -m pytest $(SIDE_BY_SIDE) tests/platform

soak: $(VENV)/dev ## 600 mixed jobs in one worker: nothing grows, nothing is lost (minutes)
	@$(PY) -m pytest tests/platform/soak_test.py --soak-jobs 600 --log-cli-level WARNING

fuzz: $(VENV)/dev ## 10,000 requests, 2,000 workflows and 2,000 answers of ComfyUI as whole jobs (minutes)
	@$(PY) -m pytest tests/integration/fuzz_test.py --fuzz-requests 10000 --fuzz-workflows 2000 --fuzz-answers 2000

bench: $(VENV)/dev ## what the worker adds to ComfyUI's own time, and its cold start, beside other ways: one table
	@$(PY) -m bench

mutants: $(VENV)/dev $(VENV)/mutants ## which small changes of worker/ no test notices (in a container: one may remove any file; 4 hours on 2 busy cores; ONLY= names modules: worker.graph.guard*)
	@[ "$$(id -u)" != 0 ] || [ "$(AS_ROOT)" ] || { \
		echo "a change may delete any file that you may: run it as another user, or in a throwaway container with AS_ROOT=1"; exit 1; }
	@$(VENV)/bin/mutmut run $(ONLY)
	@$(VENV)/bin/mutmut results
	@$(VENV)/bin/mutmut results --all true | awk -F. '!/not checked/ {made[$$2]++; left[$$2] += /: (survived|no tests)$$/} \
		END {for (name in made) print name ": " made[name] - left[name] " of " made[name] " caught"}'

hooks: $(VENV)/dev ## the fast checks run before each of your commits
	@$(VENV)/bin/pre-commit install

coverage: $(VENV)/dev ## which lines of the worker tests/unit runs
	@$(PY) -m pytest $(SIDE_BY_SIDE) tests/unit --cov=worker --cov=handler --cov-report=term:skip-covered

docs: $(VENV)/dev ## the tables of docs/ and the facts of .runpod/hub.json, from the code
	@$(PY) -m docs.generate

lock: ## requirements/*.txt anew from requirements/*.in
	@requirements/lock.sh

environment:
	@PYTHON="$(PYTHON)" requirements/environment.sh create $(VENV)

$(VENV)/%: requirements/%.txt | environment
	@requirements/environment.sh install $(VENV) $<
	@touch $@

.PHONY: environment help run serve comfyui test test-next check soak fuzz mutants bench hooks coverage docs lock
