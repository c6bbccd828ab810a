# Everything a developer or a newcomer types. Variables: PORT, HOST, MODEL, COMPRESSOR, ARGS, VENV, DEVICE.
export VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
PROMETHEUS_PORT ?= 9090
BIN := $(VENV)/bin

.PHONY: install dev check audit test test-gpu profile-gpu bench bench-kernels serve train demo train-embedded train-compressor
.PHONY: check-rules check-deploy dashboard prometheus pin-base

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
	$(BIN)/python -m benchmarks.gpu_check $(ARGS)

profile-gpu: install
	$(BIN)/python -m benchmarks.gpu_profile $(ARGS)

audit:
	@deploy/audit.sh

bench: install
	$(BIN)/python -m benchmarks.serving $(ARGS)
	$(BIN)/python -m benchmarks.report

bench-kernels: install
	$(BIN)/python -m benchmarks.kernels $(ARGS)

serve: install
	@exec $(BIN)/metacompress serve $(MODEL) $(if $(COMPRESSOR),--compressor $(COMPRESSOR)) --host $(HOST) --port $(PORT) $(ARGS)

demo: install
	@$(BIN)/python -m metacompress_server.demo $(if $(URL),--url $(URL)) $(ARGS)

train: install
	$(BIN)/metacompress train $(ARGS)

train-embedded: install
	$(BIN)/python -m metacompress_compressor.embedded.train $(ARGS)

check-rules:
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/tests/*.yml

check-deploy: dev check-rules
	$(BIN)/pytest tests/deploy $(ARGS)

dashboard: dev
	$(BIN)/python deploy/grafana/generate.py

prometheus:
	@exec prometheus --config.file=deploy/prometheus/prometheus.yml --storage.tsdb.path=runs/prometheus --web.listen-address=127.0.0.1:$(PROMETHEUS_PORT) $(ARGS)

pin-base:
	@echo "--build-arg BASE=python:3.11-slim-bookworm@$$(docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}')"

train-compressor: install
	$(BIN)/python -m metacompress_compressor.scenes --seed 1 --count 2500 --turns 10 --out runs/train
	$(BIN)/python -m metacompress_compressor.scenes --seed 1001 --count 500 --turns 5 --out runs/held-out
	$(BIN)/metacompress train --model compressor/metacompress_compressor/embedded/model --data runs/train --eval-data runs/held-out --out runs/compressor --retention 0.1 0.1 0.1 0.05 0.05 0.05 0.2 0.3 0.5 --steps 1800 --batch-size 16 --cache-teacher --seed 1 $(ARGS)
