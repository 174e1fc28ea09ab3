# evonic: the two commands are `make run` and `make test`.

CARGO ?= cargo

.PHONY: run build test demo bench chaos clean help

help:
	@echo "make run    build and start the supervisor and its worker with the defaults"
	@echo "make test   install what the tests need and run all of them"
	@echo "make demo   watch a leaking worker being replaced under load, in under a minute"
	@echo "make bench  print the figures, beside other programs' in the same run"
	@echo "make chaos  the long runs: kills, leaks and recycles at full size"

build:
	@tests/libraries.sh
	$(CARGO) build --release --locked -p evonic -p evonic-supervisor

run: build
	@tests/run.sh

test:
	@tests/test.sh

demo:
	@tests/demo.sh

bench:
	@tests/bench.sh

chaos:
	@tests/chaos.sh

clean:
	$(CARGO) clean
