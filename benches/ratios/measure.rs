//! Contestants in turns, so that what slows the machine slows all of them alike.

use std::time::Instant;

/// One of what is compared.
pub struct Contestant<'a> {
    name: &'a str,
    run: Box<dyn FnMut() + 'a>,
    seconds: Vec<f64>,
}

impl<'a> Contestant<'a> {
    /// What `run` does is timed.
    pub fn new(name: &'a str, run: impl FnMut() + 'a) -> Contestant<'a> {
        Contestant { name, run: Box::new(run), seconds: Vec::new() }
    }

    /// What it is called.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its times, in seconds or, with a scale, in parts of them.
    pub fn times(&self, scale: f64) -> Quartiles {
        quartiles(self.seconds.iter().map(|seconds| seconds * scale).collect())
    }

    /// Its times by those of another, round by round.
    pub fn ratio_to(&self, other: &Contestant<'_>) -> Quartiles {
        quartiles(self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other).collect())
    }
}

/// Half of what was measured is between the first and the last, half of it below the median.
pub struct Quartiles {
    low: f64,
    median: f64,
    high: f64,
}

impl Quartiles {
    /// All of them through what grows with its argument.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Quartiles {
        Quartiles { low: f(self.low), median: f(self.median), high: f(self.high) }
    }
}

/// Times all of them in turns, after one round that is not counted, and prints the medians.
pub fn take_turns(contestants: &mut [Contestant<'_>], rounds: usize) {
    for round in 0..=rounds {
        for contestant in contestants.iter_mut() {
            let begun = Instant::now();
            (contestant.run)();
            if round > 0 {
                contestant.seconds.push(begun.elapsed().as_secs_f64());
            }
        }
    }
    for contestant in contestants {
        let Quartiles { low, median, high } = contestant.times(1e3);
        println!("  {:<44} {median:>10.3} ms ({low:.3} to {high:.3})", contestant.name);
    }
}

/// Prints a ratio.
pub fn tell(what: &str, Quartiles { low, median, high }: Quartiles) {
    println!("  {what:<44} {median:>10.3}    ({low:.3} to {high:.3})");
}

/// Prints a ratio beside what it must not be over.
pub fn at_most(what: &str, Quartiles { low, median, high }: Quartiles, bound: f64) {
    println!("  {what:<44} {median:>10.3}    ({low:.3} to {high:.3}; at most {bound})");
}

/// Prints a ratio beside what it must not be under.
pub fn at_least(what: &str, Quartiles { low, median, high }: Quartiles, bound: f64) {
    println!("  {what:<44} {median:>10.3}    ({low:.3} to {high:.3}; at least {bound})");
}

fn quartiles(mut measured: Vec<f64>) -> Quartiles {
    measured.sort_by(f64::total_cmp);
    let at = |quarter: usize| measured[(measured.len() - 1) * quarter / 4];
    Quartiles { low: at(1), median: at(2), high: at(3) }
}

/// A small deterministic generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
