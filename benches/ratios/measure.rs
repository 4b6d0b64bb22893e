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

    /// The median of its times, in seconds.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// The median of its times by those of another, round by round.
    pub fn ratio_to(&self, other: &Contestant<'_>) -> f64 {
        median(&self.seconds.iter().zip(&other.seconds).map(|(own, other)| own / other).collect::<Vec<_>>())
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
        println!("  {:<44} {:>10.3} ms", contestant.name, contestant.median() * 1e3);
    }
}

/// Prints a ratio beside what it must not be over.
pub fn at_most(what: &str, ratio: f64, bound: f64) {
    println!("  {what:<44} {ratio:>10.3}    (at most {bound})");
}

/// Prints a ratio beside what it must not be under.
pub fn at_least(what: &str, ratio: f64, bound: f64) {
    println!("  {what:<44} {ratio:>10.3}    (at least {bound})");
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
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
