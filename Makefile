# Two commands do everything: `make demo` shows the main job on real packages, `make test` checks all that is claimed.

CARGO ?= cargo
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 120
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
TOOLS = cc podman runc debootstrap mmdebstrap minisign bsdtar mtree strace faketime gpgv gpg apt-ftparchive dpkg-deb python3 systemd-analyze unshare setcap curl xz zstd ip rpmbuild rpm2cpio pacman db_load ssh-agent openssl softhsm2-util pkcs11-tool

.PHONY: help build demo acceptance root-300 gate gates roots repo-states interop distros test lint unit no-std fuzz soak crash bench bench-large bench-fsck bench-verify bench-foreign bench-hammer bench-builder audit-large gossip rebuilds deps clean

help:
	@echo "make demo    the main job on real packages: log, witnesses, builders, verdicts"
	@echo "make acceptance  every package of a whole root through real builders, then flipped bytes: a quarter of an hour"
	@echo "make repo-states  eight promises about repositories, kept and broken before a real zypper: two minutes"
	@echo "make root-300  a bootstrapped Debian root of more than 300 packages, all attested, and each of many manipulations of it: a quarter of an hour"
	@echo "make gate    apt inside a bootstrapped Debian root, stopped and let through: a few minutes"
	@echo "make gates   dnf 4 and 5, zypper and pacman inside roots of Debian 12 and sid: a quarter of an hour"
	@echo "make roots   roots that dnf 4 and 5, zypper and pacman of Debian 12 and sid installed, and each of many manipulations of them; rpm's formats and databases: ten minutes"
	@echo "make interop litewitness, Sunlight, Tessera, sigsum and the Go tools against ours, in a Debian root: minutes the first time"
	@echo "make distros dnf, zypper and pacman of two Debian suites, with repositories made by their own tools; the service killed again and again"
	@echo "make test    lint, the core without std, all tests, and make interop"
	@echo "make lint    formatting, clippy, documentation"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make bench   how fast the log is, with the limits measured in the same run; JSON in target/bench/log.json"
	@echo "make bench-large  a log of ten million entries: speed, memory, restart, fsck and disk use as it grows"
	@echo "make bench-fsck   entries a second that fsck checks, and the limit of the hash"
	@echo "make bench-foreign  load by public generators (wrk, ab) on an open log: every answer an index of its own, no error"
	@echo "make bench-hammer  load by Tessera's own generator on an open log; it is built in a Debian root: minutes the first time"
	@echo "make audit-large  a log of a million signed entries audited, killed and mirrored; how fast that is"
	@echo "make gossip  a log that lies to one client of many: contacts and time until it is convicted"
	@echo "make rebuilds  real Debian packages built again from source, and a real rebuilderd: a quarter of an hour"
	@echo "make soak    mixed load and random kills for SOAK_SECONDS=$(SOAK_SECONDS)"
	@echo "make crash   power cuts, failing calls, flipped bits and injected faults: all or many, not a few"
	@echo "make bench-verify  how long this machine's packages take to verify, beside cat, openssl, sha256sum, debsums and dpkg"
	@echo "make bench-builder  BUILDER_PACKAGES=790 packages attested into a real log: packages a minute, and where the time goes"
	@echo "make build   the four programs, in target/release"

deps:
	@.ci/deps $(TOOLS)

build: deps
	$(CARGO) build --release --locked --bins

demo: build
	e2e/demo.sh

acceptance: build
	$(CARGO) test --release --locked --workspace --test acceptance -- --ignored --nocapture

# A bootstrapped root is kept below target/roots, or TALLY_ROOTS.
root-300: deps
	$(CARGO) test --release --locked --workspace --test whole -- --ignored --nocapture

gate: deps
	$(CARGO) test --locked -p tally --test gate -- --ignored --nocapture

# A table of what is expected and seen. The roots are kept below target/roots.
gates: deps
	$(CARGO) test --locked -p tally --test gates -- --ignored --nocapture --test-threads=2

# Roots and packages of other package managers, of two generations. The Debian roots are kept below target/roots.
roots: deps
	$(CARGO) test --locked -p package --test rpm --test rpmdb -- --ignored --nocapture
	$(CARGO) test --locked -p tally --test roots -- --ignored --nocapture --test-threads=1

interop: deps
	CARGO="$(CARGO)" .ci/interop

repo-states: deps
	$(CARGO) test --locked -p tally --test zypper -- --ignored --nocapture

distros: deps
	$(CARGO) test --locked -p tally-builder --test distros -- --ignored --nocapture --test-threads=1
	TALLY_CASES=many $(CARGO) test --locked -p tally-builder --test service -- --nocapture

# The root with the peers' programs is mostly a download, and is made while all else is compiled.
test: deps
	@.ci/interop root >/dev/null 2>&1 & $(MAKE) --no-print-directory lint no-std unit
	$(MAKE) --no-print-directory interop

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet

no-std:
	tlog/check-no-std.sh

unit:
	CARGO="$(CARGO)" .ci/unit

fuzz:
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	.ci/fuzz $(FUZZ_SECONDS)

bench: build
	@mkdir -p $(TARGET)/bench
	TMPDIR=$(abspath $(TARGET)/bench) $(TARGET)/release/tally-bench --json $(TARGET)/bench/log.json

bench-large: build
	@mkdir -p $(TARGET)/bench
	TMPDIR=$(abspath $(TARGET)/bench) $(TARGET)/release/tally-bench --only growth --largest 10000000 --json $(TARGET)/bench/log-large.json

# What fsck takes, beside what hashing the same bytes in memory takes.
bench-fsck:
	@mkdir -p $(TARGET)/bench
	@$(CARGO) bench --locked -q --workspace --bench fsck | tee $(TARGET)/bench/fsck.json

soak: build
	SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --release --locked --workspace --test soak -- --ignored --nocapture

crash: deps
	TALLY_CASES=many $(CARGO) test --locked -p tally-log --test power --test faults --test injected --test disk -- --nocapture
	TALLY_CASES=many $(CARGO) test --locked -p tally-witness --test power --test crash --test mirror_crash --test mirror_process -- --nocapture

# How long this machine's own packages take, beside what only reads or hashes the same files; the claims are made on the spot.
bench-verify: deps
	@.ci/deps debsums openssl
	@mkdir -p $(TARGET)/bench
	@VERIFY_BENCH_SLOW=1 $(CARGO) bench --locked -q --workspace --bench verify | tee $(TARGET)/bench/verify.json

# FOREIGN_SECONDS=10 for each of FOREIGN_CONNECTIONS="512 2000 4000".
bench-foreign: build
	@.ci/deps wrk ab
	TALLY_BIN=$(abspath $(TARGET)/release) bench/foreign.sh

# HAMMER_SECONDS=20 for each of HAMMER_WRITERS="512 2000".
bench-hammer: build
	TALLY_BIN=$(abspath $(TARGET)/release) bench/hammer.sh

# Every package that is installed here, or BUILDER_PACKAGES of them.
bench-builder: build
	@mkdir -p $(TARGET)/bench
	TALLY_BIN=$(abspath $(TARGET)/release) bench/builder.sh $(or $(BUILDER_PACKAGES),790) $(TARGET)/bench/builder.json

# TALLY_AUDIT_ENTRIES=1000000
audit-large: deps
	$(CARGO) test --release --locked --workspace --test audit -- --ignored --nocapture

gossip:
	$(CARGO) build --locked -p tally --bin tally
	$(CARGO) test --locked -p e2e --test gossip -- --ignored --nocapture

# REBUILD_PACKAGES="sed hello" for others than the usual ones.
rebuilds: build
	$(CARGO) test --release --locked --workspace --test rebuilds -- --ignored --nocapture --test-threads 1

clean:
	$(CARGO) clean
