# Build, test and install. Everything is SwiftPM underneath; see CONTRIBUTING.md.
#   make            release build of vswitchd and vsctl, Swift's library linked in
#   make test       debug build and all tests (as root: the system tests, too)
#   make demo       a router lab of four hosts on two VLANs, built, tested and taken down again (root)
#   make perf       instructions per packet, allocations per packet, a short round against other switches (root)
#   make fuzz       each fuzz target for FUZZ_SECONDS (600), found inputs in .build-fuzz/found
#   make install    to PREFIX (default /usr/local), under DESTDIR if given; with COMPAT=1 also as ovs-vsctl
#   make sbom       the bill of materials of the release build, vswitch.spdx.json
#   make lint       what CI checks of the sources' form

PREFIX ?= /usr/local
DESTDIR ?=
SWIFT ?= swift
JOBS ?= $(shell nproc)
# Not empty: install vsctl under the name ovs-vsctl, too.
COMPAT ?=
# Arguments for `swift test`, such as TEST_FLAGS="--filter MACTable".
TEST_FLAGS ?=

# lld, because the default linker warns of a function that the static Foundation has and nobody calls.
RELEASE = -c release -j $(JOBS) --static-swift-stdlib -Xswiftc -use-ld=lld
BIN = $(shell $(SWIFT) build $(RELEASE) --show-bin-path)
UNIT_DIR ?= /lib/systemd/system

.PHONY: all build configuration-page packages test sanitize system-test-release demo perf peers fuzz sbom lint install uninstall clean

all: build

build:
	$(SWIFT) build $(RELEASE) --product vswitchd
	$(SWIFT) build $(RELEASE) --product vsctl

# The page that documents the database, from Sources/OVSDB/Documentation.
configuration-page:
	$(SWIFT) build --product vsctl
	$$($(SWIFT) build --show-bin-path)/vsctl document > Docs/configuration.md

packages:
	./scripts/install-packages.sh
	./scripts/install-python-packages.sh

test:
	$(SWIFT) build --build-tests -j $(JOBS)
	SWIFT=$(SWIFT) ./scripts/test.sh $(TEST_FLAGS)

# The packet path's tests under AddressSanitizer. (Leaks are looked for by tests of their own: XCTest leaks, too.
# The one left out compares an optional, whose conversion by the library's `#expect` it takes for an overflow.)
sanitize:
	$(SWIFT) build --build-tests -j $(JOBS) --sanitize=address --scratch-path .build-sanitize
	ASAN_OPTIONS=detect_leaks=0 $(SWIFT) test --skip-build --sanitize=address --scratch-path .build-sanitize \
	  --filter 'VSwitchCoreTests|DatapathTests|DifferentialTests' --skip onePortCannotTakeTheControllers

# The system tests on the programs as they are shipped: memory and wake-ups are checked on those alone.
system-test-release: build
	$(SWIFT) build --build-tests -j $(JOBS)
	VSWITCH_BINDIR=$(BIN) $(SWIFT) test --skip-build --filter SystemTests $(TEST_FLAGS)

demo:
	./examples/router-lab.sh

perf:
	./Perf/run.sh

peers: build
	VSWITCH_BINDIR=$(BIN) python3 Perf/Peers/compare.py

# Each target runs alone, from the seeds in Tests/Fuzz/Corpus and what earlier runs added in .build-fuzz.
# Under AddressSanitizer, too: unsafe reads are few, and each past an end has to be seen.
FUZZERS ?= ConnectionTracking FlowText NetworkServices OpenFlowDecoder PacketParser VhostUserMessages VhostUserRings
FUZZ_SECONDS ?= 600
# FUZZ_SANITIZER=thread FUZZERS=VhostUserRings: races of the worker with a thread that rewrites a guest's memory.
FUZZ_SANITIZER ?= address
# Objects of the two do not go together.
FUZZ_DIR = .build-fuzz$(if $(filter-out address,$(FUZZ_SANITIZER)),-$(FUZZ_SANITIZER))
FUZZ = VSWITCH_FUZZ=1 $(SWIFT) build -c release --build-path $(FUZZ_DIR) -Xswiftc -use-ld=lld \
  -Xswiftc -sanitize=fuzzer,$(FUZZ_SANITIZER) -Xcc -fsanitize=$(FUZZ_SANITIZER)

fuzz:
	mkdir -p $(FUZZ_DIR)/found
	set -e; for name in $(FUZZERS); do \
	  $(FUZZ) -j $(JOBS) --product fuzz-$$name; \
	  mkdir -p $(FUZZ_DIR)/corpus-$$name; \
	  SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=suppressions=Tests/Fuzz/thread-sanitizer.supp \
	    $$($(FUZZ) --show-bin-path)/fuzz-$$name -max_total_time=$(FUZZ_SECONDS) -max_len=2048 \
	    -artifact_prefix=$(FUZZ_DIR)/found/$$name- $(FUZZ_DIR)/corpus-$$name Tests/Fuzz/Corpus/$$name; \
	done

sbom: build
	./scripts/sbom.py $(BIN) > vswitch.spdx.json

lint:
	$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests Perf

install:
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(UNIT_DIR)
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -d $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 $(BIN)/vswitchd $(DESTDIR)$(PREFIX)/sbin/vswitchd
	install -m 755 $(BIN)/vsctl $(DESTDIR)$(PREFIX)/bin/vsctl
	$(if $(COMPAT),ln -sf vsctl $(DESTDIR)$(PREFIX)/bin/ovs-vsctl)
	sed 's|/usr/local|$(PREFIX)|' packaging/vswitchd.service > $(DESTDIR)$(UNIT_DIR)/vswitchd.service
	chmod 644 $(DESTDIR)$(UNIT_DIR)/vswitchd.service
	$(BIN)/vsctl --generate-completion-script bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vsctl
	$(BIN)/vsctl --generate-completion-script zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vsctl
	$(BIN)/vsctl --generate-completion-script fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vsctl.fish

uninstall:
	if [ "$$(readlink $(DESTDIR)$(PREFIX)/bin/ovs-vsctl)" = vsctl ]; then rm $(DESTDIR)$(PREFIX)/bin/ovs-vsctl; fi
	rm -f $(DESTDIR)$(PREFIX)/sbin/vswitchd $(DESTDIR)$(PREFIX)/bin/vsctl $(DESTDIR)$(UNIT_DIR)/vswitchd.service
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vsctl
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vsctl
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vsctl.fish

clean:
	rm -rf .build .build-perf .build-fuzz .build-fuzz-thread
