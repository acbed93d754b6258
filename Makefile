# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := image
MAKEFLAGS += --no-print-directory

# What the hypervisor is told at boot, and the machine that `make run` pretends to be.
OPTIONS ?= console=com1,vga loglvl=all
MACHINE ?= q35
CPUS ?= 2
MEMORY ?= 1G
CPU ?= max,-smap
ACCEL ?= tcg
QEMU ?= qemu-system-x86_64
# Seconds that each fuzz target runs.
TIME ?= 60

.PHONY: help setup image test-image iso run test test-reference fuzz lint fmt doc clean

help: ## list the targets
	@echo "Paravane: a paravirtualizing hypervisor for x86_64"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "  make run takes  OPTIONS='$(OPTIONS)'"
	@echo "                  MACHINE=$(MACHINE) CPUS=$(CPUS) MEMORY=$(MEMORY) CPU=$(CPU) ACCEL=$(ACCEL) QEMU=$(QEMU)"
	@echo "  make test takes FULL=1, for the whole product of the boot matrix"
	@echo "  make fuzz takes TIME=$(TIME)"

setup: ## install what building needs (packages, bare-metal target); the other targets do it themselves
	@boot/setup

image: setup ## build/paravane, the multiboot2 image
	@boot/build-image

test-image: setup ## build/paravane-test, the image that can be told to die
	@boot/build-image --planted-faults

iso: image ## build/paravane.iso, which GRUB boots on a BIOS and on UEFI
	@boot/make-iso build/paravane.iso build/paravane '$(OPTIONS)'

run: iso ## boot it in QEMU, serial console on this terminal
	@echo "The hypervisor's serial console follows. To leave: Ctrl-A, then X."
	@$(QEMU) -nodefaults -no-user-config -machine $(MACHINE) -accel $(ACCEL) -cpu $(CPU) -smp $(CPUS) \
		-m $(MEMORY) -display none -serial mon:stdio -no-reboot -cdrom build/paravane.iso -boot d

test: setup ## everything that is tested: on the host, then in QEMU
	@tests/run-all

fuzz: setup ## fuzz every parser, each for TIME seconds
	@tests/fuzz-all $(TIME)

test-reference: setup ## the tiny kernels of tests/kernels on the reference hypervisor (FILTER='a b' some of them)
	@tests/reference-hypervisor
	@tests/build-kernels
	@cargo run --quiet --package harness -- $(addprefix reference/,$(FILTER)) $(if $(FILTER),,reference/)

lint: setup ## formatting and clippy, warnings are errors, for the host and for bare metal
	@tests/lint

fmt: ## format all the code
	@cargo fmt --all

doc: ## the documentation of every room, in target/doc
	@cargo doc --quiet --workspace --no-deps --document-private-items
	@echo "target/doc/hypervisor/index.html"

clean: ## remove everything that was built
	rm -rf build target tests/fuzz/target
