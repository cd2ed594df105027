# make tag     train a biRNN-CRF on English and tag with it: everything from nothing
# make test    the tests
# make help    the rest
#
# PYTHON=python3.12 picks the Python that the environment is made with (3.10 or newer). TORCH_INDEX=URL takes torch from
# another package index: on Linux without a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_TORCH := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: tag test attacks data speed experiments trellis clean help

tag: $(VENV)/ready       ## train a biRNN-CRF on English and tag with it (some minutes)
	cd code && ../$(BIN)/python tag.py endev --model crf_neural --lexicon words-50.txt

test: $(VENV)/ready      ## run the tests
	$(BIN)/python -m pytest -q

attacks: $(VENV)/ready   ## attack the sandbox at every level; fails where there is none
	$(BIN)/python -m grader attacks --level all

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_TORCH) -r requirements.txt
	@touch $@

data: $(VENV)/ready      ## derive the corpora from the master files again
	$(BIN)/python data/build.py

speed: $(VENV)/ready     ## measure speed, beside pytorch-crf if that is installed (minutes, on a quiet machine)
	$(BIN)/python writeup/experiments/speed.py

experiments: $(VENV)/ready   ## make every table and figure again: hours, resumable; QUICK=1: minutes, keeps nothing
	$(BIN)/python writeup/experiments/experiments.py $(if $(QUICK),--quick)

trellis: $(VENV)/ready   ## a page about one sentence, and how searches move over its trellis: trellis.html
	$(BIN)/python -m writeup.experiments.trellis endev:17 --quick

clean:                   ## remove the environment and what tests leave behind
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache

help:
	@grep -hE "^[a-z-]+:.*##" $(MAKEFILE_LIST) | sed -E 's/:[^#]*(## *)?/\t/'
