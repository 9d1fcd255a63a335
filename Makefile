# What people type. CMakePresets.json knows the rest; tests/run is behind `make test`.
BUILD := build/release
DATA  ?= plimsoll-data

.PHONY: all models run test bench clean tidy deps

all: deps
	@cmake --preset release >build/configure.log 2>&1 || \
		{ tail -n 30 build/configure.log; exit 1; }
	@cmake --build $(BUILD) --target plimsoll
	@ln -sfn release/src/cmd/plimsoll build/plimsoll

deps:
	@mkdir -p build
	@tools/deps
	@tools/fetch-llama --where >/dev/null 2>&1 || tools/fetch-llama

models: all
	@tools/models

run: models
	@tools/guide $(DATA)

test:
	@tools/deps --test || { echo "0 passed, 1 failed"; exit 1; }
	@tests/run

bench: models
	@bench/run

tidy:
	@tools/tidy

clean:
	rm -rf build
