.PHONY: test check run

# Every test there is.
test:
	cargo test --locked

# Formatting, lints and documentation.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

run:
	cargo run --release --locked
