# What a person can type here. `make help` prints this list.
#
# The programs are static and built for the machine at hand (.cargo/config.toml); cargo's own folder stays cargo's, and
# what is meant to be run lies in dist/bin.

.DEFAULT_GOAL := help
.SUFFIXES:

# A shell that is older than its rustup does not have cargo in its PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

bin := dist/bin
programs := sampan sampand sampan-guest sampan-docker sampan-docker-proxy sampan-hello
# Evaluated by the shell of a recipe: `make start` may install Rust first.
release = $(or $(CARGO_TARGET_DIR),target)/$$(rustc -vV | sed -n 's/^host: //p')/release

.PHONY: help start stop build test bench conformance lint fmt doc clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

start: ## install what is missing, build, start the engine and run a first container (as root)
	@scripts/prerequisites start
	@$(MAKE) --no-print-directory build
	@$(bin)/sampan start
	@mkdir -p dist/hello && install -m 0755 $(bin)/sampan-hello dist/hello/hello && install -m 0644 packaging/hello/Dockerfile dist/hello/
	@$(bin)/sampan docker build --quiet --tag sampan/hello dist/hello >/dev/null
	@echo
	@echo 'A first container:'
	@$(bin)/sampan docker run --rm sampan/hello
	@echo
	@echo 'To type the commands above as they are:  PATH=$(CURDIR)/$(bin):$$PATH'
	@echo 'To stop:                                 make stop'

stop: ## stop the engine and the service; images, containers and volumes stay
	@$(bin)/sampan stop

build: ## build the programs in release into dist/bin
	cargo build --release --locked -p sampan -p sampand -p sampan-guest
	@mkdir -p $(bin)
	@release=$(release); for program in $(programs); do install -m 0755 "$$release/$$program" $(bin)/ || exit 1; done
	@ln -sfn sampan $(bin)/wsl
	@echo 'built: $(addprefix $(bin)/,$(programs) wsl)'

test: ## install what is missing, then lint and run all tests (the ones of the whole system as root)
	@scripts/prerequisites test
	@cargo xtask test

bench: ## measure starts, sessions, import, export, the proxy and published ports beside plain programs (as root, half an hour)
	@scripts/prerequisites bench
	@$(MAKE) --no-print-directory build
	@cargo xtask bench

conformance: ## run the tests of another Docker client at dockerd's socket and at ours (as root, several minutes)
	@scripts/prerequisites test
	@$(MAKE) --no-print-directory build
	@cargo xtask conformance

lint: ## form, clippy, documentation and the project's own gates
	@cargo xtask lint

fmt: ## bring the source into form
	@cargo fmt --all

doc: ## build the documentation of the crates into target/*/doc
	@cargo doc --workspace --no-deps

# /proc tells whether something still runs out of dist/bin. It tells everything only to root, who is the one who can
# have started an instance.
clean: ## remove everything that was built (not the state of any instance)
	@if ls -l /proc/[0-9]*/exe 2>/dev/null | grep -qF -- '-> $(CURDIR)/$(bin)/'; then \
		echo 'An instance runs from $(bin): run `make stop` first.' >&2; exit 1; \
	fi
	rm -rf target dist
