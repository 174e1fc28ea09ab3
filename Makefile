# evonic: the two commands are `make run` and `make test`.

CARGO ?= cargo

# Where cargo builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# The programs that are installed: `make install PROGRAMS=target/debug` takes those of `make build`,
# target/release a quicker build than the default.
PROGRAMS ?= $(TARGET)/dist

# How much `bench`, `chaos` and `fuzz` do: full or small.
SIZE ?= full

# Where `make deb` puts the package.
DEB ?= target

.PHONY: run build dist install uninstall deb test demo bench chaos fuzz clean help

help:
	@echo "make run    build and start the supervisor and its worker with the defaults"
	@echo "make test   install what the tests need and run all of them"
	@echo "make install     put the programs, the unit and the manual below PREFIX (/usr/local)"
	@echo "make uninstall   remove them again; configuration and data stay"
	@echo "make deb         build a Debian package in target/"
	@echo "make demo   watch a leaking worker being replaced under load, in under a minute"
	@echo "make bench  print the figures, beside other programs' in the same run"
	@echo "make fuzz   requests made from the API's document, and odd bytes for every decoder"
	@echo "make chaos  the long runs: kills, leaks and recycles at full size"
	@echo "SIZE=small  after bench, fuzz or chaos: a minute of it"

build:
	@tests/libraries.sh
	$(CARGO) build --locked --workspace --bins

run: build
	@tests/libraries.sh run
	@tests/run.sh

dist:
	@tests/libraries.sh
	case "$(PROGRAMS)" in $(TARGET)/dist | $(TARGET)/release) \
		$(CARGO) build --profile "$(notdir $(PROGRAMS))" --locked \
			-p evonic -p evonic-supervisor -p evonic-runner ;; \
	esac

install: dist
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" systemd/install.sh "$(PROGRAMS)"

uninstall:
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" systemd/uninstall.sh

deb: dist
	@systemd/deb/build.sh "$(PROGRAMS)" "$(DEB)"

test:
	@tests/test.sh

demo:
	@tests/demo.sh

bench:
	@tests/bench.sh $(SIZE)

chaos:
	@tests/chaos.sh $(SIZE)

fuzz:
	@tests/fuzz.sh $(SIZE)

clean:
	$(CARGO) clean
