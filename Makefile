# Everything a contributor does. `make demo` and `make test` do their own set-up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
RIVALS := .venvs/anomalib
RUNTIME := .venvs/runtime
EMBED  := .venvs/embed
RESULTS = $(BIN)/python tests/rivals/results.py --data '$(DATA)' --weights '$(WEIGHTS)' $(RESULTS_ARGS)

.PHONY: help setup demo test quick lint tools bench wheels clean links data-and-weights rivals results

help:  ## this list; times are for 2 cores
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## install everything into .venv, several GB; demo, test and quick do it too: minutes, by network

# Without warnings: setuptools has a starred one about every editable installation.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## [DATA=DIR CATEGORY=NAME] [WEIGHTS=FILE] [EPOCHS=N] see it work, and get a page of it: 90 s
	@$(BIN)/python tests/demo/demo.py $(if $(DATA),--data '$(DATA)') $(if $(CATEGORY),--category '$(CATEGORY)') \
	  $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(EPOCHS),--epochs $(EPOCHS))

test: $(STAMP) lint  ## lint, types and all tests; says first what it skips here: 14 min with all tools, 7 without
	$(BIN)/python -m pytest

# Formats, images, scores, sources, commands, the station's machine and registers, the pages: what is cheap and finds most.
QUICK = tests/test_guards.py tests/test_packaging.py tests/test_documentation.py \
  $(addprefix tests/runtime/,commands formats imaging line scoring sources desk/test_protocols_page.py desk/test_protocols_config.py) \
  $(addsuffix .py,$(addprefix tests/runtime/station/test_,config documentation faults machine modbus_requests registers requests users)) \
  --deselect tests/test_documentation.py::test_the_blocks_of_a_page_run_as_they_stand

quick: $(STAMP)  ## a selection: no teaching, training, export, C library, page, running station, lint: 2 min
	$(BIN)/python -m pytest -q $(QUICK)

tools:  ## install what tests can use (compilers, broker, browser, ...) by apt, with sudo: minutes, by network
	PYTHON='$(PYTHON)' packaging/test-tools.sh

lint: $(STAMP) links  ## ruff and mypy: 30 s
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p regad.runtime -p regad.calib -p regad.train -p regad.export

# This machine's wheel in dist/, tried in a clean environment; packaging/wheels.sh aarch64 cross-builds.
wheels:  ## [REGAD_MODEL=DIR] this machine's wheel in dist/, tried in a clean environment: minutes
	PYTHON='$(PYTHON)' packaging/wheels.sh

bench: $(STAMP) $(RIVALS)/.installed $(RUNTIME)/.installed $(EMBED)/.installed  ## [MODEL=DIR] [INT8=DIR] [ROWS='...'] speed beside anomalib and OpenVINO: long, and 2 GB of rivals
	$(BIN)/python tests/bench/bench.py $(if $(MODEL),--model '$(MODEL)') $(if $(INT8),--int8 '$(INT8)') --rivals $(RIVALS) --runtime $(RUNTIME) \
	  --embed $(EMBED) $(if $(ROWS),--rows $(ROWS)) --json bench-out/bench.json

# Nothing but what a station installs, and what an application that hands over arrays does: for their sizes.
$(RUNTIME)/.installed: EXTRA = cpu
$(EMBED)/.installed: EXTRA = embed
$(RUNTIME)/.installed $(EMBED)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet -c constraints.txt '.[$(EXTRA)]'
	@touch $@

$(RIVALS)/.installed: constraints.txt
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/pip install --quiet --upgrade pip
	$(RIVALS)/bin/pip install --quiet -c constraints.txt 'anomalib[openvino]>=2.2,<3' torch torchvision scikit-learn scipy safetensors
	@touch $@

data-and-weights:
	@test -d '$(DATA)' -a -f '$(WEIGHTS)' || { echo "name them: make rivals DATA=<folder of categories> WEIGHTS=<ResNet-18 file>"; exit 2; }

rivals: data-and-weights $(STAMP) links $(RIVALS)/.installed  ## DATA=DIR WEIGHTS=FILE our accuracy beside PatchCore and PaDiM: hours
	$(RESULTS) frozen rivals compare

results: data-and-weights $(STAMP) links $(RIVALS)/.installed  ## DATA=DIR WEIGHTS=FILE [RESULTS_ARGS='--rounds 5 --shot 2,4,8'] all of RESULTS.md, in results/: hours
	$(RESULTS)

clean:  ## remove what was built, but not .venv
	rm -rf build dist *.egg-info .links .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out bench-out
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +

links:  ## .links/, by which mypy finds the packages
	@mkdir -p .links/regad
	@for p in train export runtime calib; do ln -sfn ../../$$p .links/regad/$$p; done
