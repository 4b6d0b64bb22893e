.PHONY: test check run backends

# Every test there is, with the real databases: installed, started and stopped by tests/backends/run.
test:
	tests/backends/run cargo test --locked --features real-backends

# The real databases, up until Ctrl-C.
backends:
	tests/backends/run

# Formatting, lints and documentation.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets --features real-backends -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

run:
	cargo run --release --locked
