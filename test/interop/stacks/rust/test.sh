# Sourced by ../run, in the folder of this stack.  The crates are compiled once for all suites that
# need them.
command -v cargo >/dev/null || die "cargo is missing: install Rust 1.94 or later"
CARGO_TARGET_DIR=$BUILD/interop/rust cargo build --quiet --locked >&2
"$BUILD/interop/rust/debug/stack"
