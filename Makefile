# Farrier. `make` alone explains the targets.
# KEEP=1 make demo leaves the demo's LAN up until Ctrl-C.

SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)/debug
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
FARRIER := $(TARGET)/farrier
LAB := $(TARGET)/lab --farrier $(FARRIER) --assets .lab/assets
FUZZ_SECONDS ?= 60
DATA ?= /var/lib/farrier
export CARGO_TERM_COLOR ?= never

.PHONY: help demo run test unit boots debian-install lint bench boot-times fuzz assets screenshots clean

help:
	@echo 'make demo    boots two virtual machines from nothing, on a private virtual LAN (root)'
	@echo 'make run     serves the real network interfaces of this host (root); data in DATA=$(DATA)'
	@echo 'make test    all tests: unit, property, vectors, real firmware in QEMU, the browser (root)'
	@echo 'make lint    format, clippy, arrows between rooms, scripts, licences'
	@echo 'make unit    the tests that need no virtual machines'
	@echo 'make boots   the boots in QEMU and the browser test; BOOTS="name..." chooses (root)'
	@echo 'make debian-install   Debian installs itself unattended in QEMU, from a mirror in the lab: an hour or more (root)'
	@echo 'make bench   measures Farrier and other servers on the same wire; BENCH="--quick" chooses (root)'
	@echo 'make boot-times   from power-on to the kernel, with Farrier and with dnsmasq; TIMES="--rounds 5" (root)'
	@echo 'make fuzz    each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds'
	@echo 'make assets  fetches the loaders and sample images into .lab/assets'

demo:
	@deploy/setup.sh demo
	@echo 'Building Farrier (the first time takes a few minutes) ...'
	@cargo build --quiet --locked -p farrier -p lab
	@$(MAKE) --no-print-directory assets
	@$(LAB) demo $(if $(filter 1 yes true,$(KEEP)),--keep)

run:
	@deploy/run.sh $(DATA)

test: unit boots
	@echo 'make test: everything passed'

unit:
	@deploy/setup.sh test
	cargo test --locked --workspace
	@cargo build --quiet --locked -p web --example ui_demo
	cd web/tests && UI_DEMO=$(abspath $(TARGET))/examples/ui_demo node pages.mjs

boots:
	@deploy/setup.sh test
	@cargo build --quiet --locked -p farrier -p lab
	@$(MAKE) --no-print-directory assets
	@deploy/lab/payload.sh .lab/assets/images/payload
	$(LAB) test $(BOOTS)

# Not in `make test`: emulated, an installation takes an hour. DEBIAN=debian-install-uefi is the same by UEFI.
DEBIAN ?= debian-install
debian-install:
	@deploy/setup.sh test
	@cargo build --quiet --locked -p farrier -p lab
	@$(MAKE) --no-print-directory assets
	@deploy/lab/debian-mirror.sh .lab/mirror
	$(LAB) test $(DEBIAN)

# A loader that no package has is reported and not fatal here: the boot that needs it says so.
assets:
	@cargo build --quiet --locked -p farrier
	@mkdir -p .lab && echo 'data_dir: .lab/assets' >.lab/assets.yaml
	@$(FARRIER) --config .lab/assets.yaml assets sync || echo 'make assets: going on with what there is'

# The pictures of the README, made by the browser test.
screenshots:
	@$(MAKE) --no-print-directory boots BOOTS=browser
	@mkdir -p docs/screenshots
	cp $(addprefix web/tests/artifacts/,machines.png machine.png boots.png machines-dark.png machines-phone.png) docs/screenshots/

lint:
	@deploy/setup.sh lint
	@deploy/lint.sh

# BENCH="list" names the cases; docs/PERFORMANCE.md says how to read the figures.
bench:
	@deploy/setup.sh bench
	@echo 'Building the release of Farrier (the first time takes a few minutes) ...'
	@cargo build --quiet --locked --release -p farrier -p bench
	@$(RELEASE)/bench --farrier $(RELEASE)/farrier $(BENCH)

# Real firmware in QEMU, one machine at a time: about six minutes on an idle machine.
boot-times:
	@deploy/setup.sh demo
	@cargo build --quiet --locked --release -p farrier -p lab
	@$(MAKE) --no-print-directory assets
	@$(RELEASE)/lab --farrier $(RELEASE)/farrier --assets .lab/assets time $(TIMES)

fuzz:
	@command -v cargo-fuzz >/dev/null || { echo 'cargo-fuzz is not installed: cargo install --locked cargo-fuzz'; exit 1; }
	@set -e; for target in $$(cargo fuzz list); do \
		echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -verbosity=0; \
	done

clean:
	cargo clean
	rm -rf .lab web/tests/node_modules web/tests/artifacts
