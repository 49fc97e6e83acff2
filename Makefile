# One command each; what a command does is in the programs it calls.
.DEFAULT_GOAL := help
PY := .venv/bin/python
IMAGE ?= examples/rocket.jpg
PROMPT ?= the rocket lifts off, smoke billowing over the water
FRAMES ?= 25

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/local ## one image in, one clip out: outputs/<job id>/clip.mp4 (IMAGE= PROMPT= FRAMES=)
	@$(PY) test_runpod_local.py sync --start-worker --resolution 480p --image "$(IMAGE)" --prompt "$(PROMPT)" --frames $(FRAMES) --out outputs

serve: .venv/local ## the worker on http://localhost:8000
	@$(PY) handler.py

test: .venv/dev ## all tests
	@$(PY) -m pytest

check: .venv/dev ## lint, types, tests: what CI runs
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest

bench: .venv/dev ## what the worker adds to ComfyUI's own time, beside other ways to do it
	@$(PY) -m bench.overhead

lock: ## requirements/*.txt anew from requirements/*.in
	@requirements/lock.sh

.venv/bin/python:
	@python3 -m venv .venv

.venv/%: requirements/%.txt | .venv/bin/python
	@echo "installing $< into .venv"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: help run serve test check bench lock
