# Everything a developer or a newcomer types. Variables: PORT, HOST, MODEL, COMPRESSOR, ARGS, VENV, DEVICE.
export VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := $(VENV)/bin

.PHONY: install dev check test test-gpu bench serve train demo train-embedded

install:
	@deploy/install.sh

dev:
	@deploy/install.sh dev

check: dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: dev
	$(BIN)/pytest $(ARGS)

test-gpu: dev
	$(BIN)/pytest -m gpu $(ARGS)
	$(BIN)/python benchmarks/kernels.py

bench: install
	$(BIN)/python benchmarks/kernels.py $(ARGS)

serve: install
	@exec $(BIN)/metacompress serve $(MODEL) $(if $(COMPRESSOR),--compressor $(COMPRESSOR)) --host $(HOST) --port $(PORT) $(ARGS)

demo: install
	@$(BIN)/python -m metacompress_server.demo $(if $(URL),--url $(URL)) $(ARGS)

train: install
	$(BIN)/metacompress train $(ARGS)

train-embedded: install
	$(BIN)/python -m metacompress_compressor.embedded.train $(ARGS)
