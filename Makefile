# Everything a contributor does. `make demo` and `make test` do their own set-up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
RIVALS := .venvs/anomalib
RUNTIME := .venvs/runtime
EMBED  := .venvs/embed
RESULTS = $(BIN)/python tests/rivals/results.py --data '$(DATA)' --weights '$(WEIGHTS)' $(RESULTS_ARGS)

.PHONY: help setup demo test lint bench wheels clean links data-and-weights rivals results

help:
	@echo "make setup | demo [DATA=DIR CATEGORY=NAME [WEIGHTS=FILE] [EPOCHS=N]] | test | lint | bench [MODEL=DIR] [INT8=DIR] [ROWS='...'] | wheels [REGAD_MODEL=DIR] | clean | links"
	@echo "make rivals | results DATA=DIR WEIGHTS=FILE [RESULTS_ARGS='--rounds 5 --shot 2,4,8 ...']   (long; files in results/)"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

links:
	@mkdir -p .links/regad
	@for p in train export runtime calib; do ln -sfn ../../$$p .links/regad/$$p; done

lint: $(STAMP) links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p regad.runtime -p regad.calib -p regad.train -p regad.export

demo: $(STAMP)
	$(BIN)/python tests/demo/demo.py $(if $(DATA),--data '$(DATA)') $(if $(CATEGORY),--category '$(CATEGORY)') \
	  $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(EPOCHS),--epochs $(EPOCHS))

bench: $(STAMP) $(RIVALS)/.installed $(RUNTIME)/.installed $(EMBED)/.installed
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

rivals: data-and-weights $(STAMP) links $(RIVALS)/.installed
	$(RESULTS) frozen rivals compare

results: data-and-weights $(STAMP) links $(RIVALS)/.installed
	$(RESULTS)

# This machine's wheel in dist/, tried in a clean environment; packaging/wheels.sh aarch64 cross-builds.
wheels:
	PYTHON='$(PYTHON)' packaging/wheels.sh

test: $(STAMP) lint
	$(BIN)/python -m pytest

clean:
	rm -rf build dist *.egg-info .links .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-out bench-out
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
