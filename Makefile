# Two commands do everything on a fresh machine: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := image
MAKEFLAGS += --no-print-directory

# What the hypervisor and the first domain's kernel are told at boot, and the machine that `make run` pretends to be.
OPTIONS ?= console=com1,vga loglvl=all dom0_mem=512M
DOM0 ?= console=hvc0 earlyprintk=xen
# The first domain's RAM disk is told that there is a disk with the demonstration guest.
GUEST ?= build/guest/disk.img
MACHINE ?= q35
CPUS ?= 2
MEMORY ?= 1G
CPU ?= max,-smap
ACCEL ?= tcg
QEMU ?= qemu-system-x86_64
# Seconds that each fuzz target runs.
TIME ?= 60

.PHONY: help setup image test-image dom0 guest disk deb iso run test test-reference bench figures fuzz lint fmt doc clean

help: ## list the targets
	@echo "Paravane: a paravirtualizing hypervisor for x86_64"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@echo
	@echo "  make run takes  OPTIONS='$(OPTIONS)'"
	@echo "                  DOM0='$(DOM0)'"
	@echo "                  MACHINE=$(MACHINE) CPUS=$(CPUS) MEMORY=$(MEMORY) CPU=$(CPU) ACCEL=$(ACCEL) QEMU=$(QEMU)"
	@echo "  make test takes FULL=1, for all that takes longer than half an hour"
	@echo "  make fuzz takes TIME=$(TIME)"

setup: ## install what building needs (packages, bare-metal target); the other targets do it themselves
	@boot/setup

image: setup ## build/paravane, the multiboot2 image
	@boot/build-image

test-image: setup ## build/paravane-test, the image that can be told to die
	@boot/build-image --planted-faults

dom0: setup ## build/dom0: a Debian kernel and a RAM disk with a shell for the first domain
	@boot/make-dom0

guest: setup ## build/guest/disk.img: a disk with a minimal Debian, which `make run` has for a guest
	@boot/make-guest

disk: image ## build/disk/disk.img: a disk with a full Debian 12 as the first domain, GRUB, and the hypervisor
	@boot/make-disk

deb: image ## build/deb: Debian packages of the hypervisor and of what administrators run in the first domain
	@boot/build-tools
	@boot/make-deb

iso: image dom0 ## build/paravane.iso, which GRUB boots on a BIOS and on UEFI: the hypervisor and its first domain
	@boot/make-iso build/paravane.iso build/paravane '$(OPTIONS)' 'build/dom0/vmlinuz $(DOM0)' build/dom0/initrd

# QEMU's escape character is moved from Ctrl-A, which switches between the first domain and the debug keys.
run: ## boot it in QEMU, to a shell of the first domain on this terminal
	@echo "Building the hypervisor and its first domain: minutes the first time, seconds afterwards."
	@$(MAKE) guest
	@$(MAKE) iso DOM0='$(DOM0) GUEST_DISK=vda'
	@echo "The serial console follows, and a shell after half a minute. To end it: poweroff. To leave: Ctrl-], then X."
	@echo "A guest to try there: xm create -c debian (Ctrl-] twice leaves its console), xm list, xm shutdown -w debian."
	@$(QEMU) -nodefaults -no-user-config -machine $(MACHINE) -accel $(ACCEL) -cpu $(CPU) -smp $(CPUS) \
		-m $(MEMORY) -display none -serial mon:stdio -echr 0x1d -no-reboot -cdrom build/paravane.iso -boot d \
		-drive if=none,id=guest,format=raw,file=$(GUEST) -device virtio-blk-pci,drive=guest

test: setup ## what is tested within half an hour: on the host, then in QEMU
	@tests/run-all

fuzz: setup ## fuzz every target, one after the other, each for TIME seconds
	@tests/fuzz-all $(TIME)

test-reference: setup ## the tiny kernels of tests/kernels on the reference hypervisor (FILTER='a b' some of them)
	@tests/reference-hypervisor
	@tests/build-kernels
	@cargo run --quiet --package harness -- $(addprefix reference/,$(FILTER)) $(if $(FILTER),,reference/)

bench: image ## what services cost in instructions, here and on the reference hypervisor
	@tests/reference-hypervisor
	@tests/build-kernels
	@cargo run --quiet --package harness -- costs/comparison

figures: image ## what fio and iperf3 say of a guest's disk and network, here and on the reference hypervisor
	@tests/reference-hypervisor
	@boot/make-dom0
	@tests/stock-tools
	@tests/make-test-disk figures
	@cargo run --quiet --package harness -- figures/devices

lint: setup ## formatting and clippy, warnings are errors, for the host and for bare metal
	@tests/lint

fmt: ## format all the code
	@cargo fmt --all
	@cargo fmt --manifest-path tests/fuzz/Cargo.toml

doc: ## the documentation of every room, in target/doc
	@RUSTDOCFLAGS="$(RUSTDOCFLAGS) -D warnings -A rustdoc::private-intra-doc-links" cargo doc --quiet --workspace --no-deps --document-private-items
	@echo "target/doc/hypervisor/index.html"

clean: ## remove everything that was built
	rm -rf build target tests/fuzz/target
