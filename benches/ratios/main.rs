//! Speed, as ratios of what is compared, measured in turns in one run. How to read them is in docs/BENCHMARKS.md.
//!
//! ```text
//! cargo bench                       every bench that needs no database
//! cargo bench -- evaluate plan      some
//! ```

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod evaluate;
// Shared with other benches, each of which uses a part of it.
#[allow(dead_code)]
mod measure;
mod plan;

const USAGE: &str = "benches: evaluate, plan, load";

fn main() {
    // cargo itself adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let all = ["evaluate", "plan", "load"].map(str::to_owned);
    for name in if asked.is_empty() { &all[..] } else { &asked[..] } {
        println!("\n{name}");
        match name.as_str() {
            "evaluate" => evaluate::run(),
            "plan" => plan::plan(),
            "load" => plan::load(),
            other => {
                eprintln!("no bench is named {other}; {USAGE}");
                std::process::exit(2);
            }
        }
    }
}
