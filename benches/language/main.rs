//! The formula language beside numpy and polars, and how its time grows. How to read it is in docs/BENCHMARKS.md.
//!
//! ```text
//! taskset -c 1 cargo bench --bench language             all of it, on one core
//! taskset -c 1 cargo bench --bench language -- growth   a part
//! ```

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod growth;
// Shared with other benches, each of which uses a part of it.
#[allow(dead_code)]
#[path = "../ratios/measure.rs"]
mod measure;
mod peers;
mod shop;

fn main() {
    // cargo itself adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let all = ["peers", "growth"].map(str::to_owned);
    for name in if asked.is_empty() { &all[..] } else { &asked[..] } {
        println!("\n{name}");
        match name.as_str() {
            "peers" => peers::run(),
            "growth" => growth::run(),
            other => {
                eprintln!("no bench is named {other}; benches: peers, growth");
                std::process::exit(2);
            }
        }
    }
}
