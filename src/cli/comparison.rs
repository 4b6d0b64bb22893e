//! The variations of an experiment against its control, as lines below a formula's table.

use std::io::{self, Write};

use super::show::{self, exact};
use crate::query::{Comparison, Evaluation};

/// Smaller p-values are shown as under it.
const LEAST_SHOWN: f64 = 0.0001;

/// Writes a line for each variation and one for the split; nothing where variations were not compared.
pub fn write(evaluation: &Evaluation, out: &mut impl Write) -> io::Result<()> {
    for series in &evaluation.series {
        if let Some(Some(comparison)) = &series.comparison {
            writeln!(out, "{} against control: {}", show::tags(series), sentence(comparison))?;
        }
    }
    let Some(ratio) = &evaluation.sample_ratio else { return Ok(()) };
    let counts = ratio.observed.iter().map(|(variation, count)| format!("{variation} {}", exact(*count)));
    let verdict = match (ratio.mismatch, ratio.p_value) {
        (true, _) => "is not as declared",
        (false, Some(_)) => "fits the declared one",
        (false, None) => "cannot be checked",
    };
    let p_value = ratio.p_value.map_or(String::new(), |p_value| format!(", p = {p_value:.3e}"));
    writeln!(out, "split of {}: {} — {verdict}{p_value}", ratio.metric, counts.collect::<Vec<_>>().join(", "))
}

fn sentence(comparison: &Comparison) -> String {
    let mut parts = Vec::new();
    let percent = |share: f64| format!("{:+.2}%", share * 100.0);
    if let Some(difference) = comparison.difference {
        let interval = comparison.interval.map(|(low, high)| format!(" [{low:+.6}, {high:+.6}]")).unwrap_or_default();
        parts.push(format!("difference {difference:+.6}{interval}"));
    }
    if let Some(lift) = comparison.lift {
        let interval = comparison.lift_interval;
        let interval =
            interval.map(|(low, high)| format!(" [{}, {}]", percent(low), percent(high))).unwrap_or_default();
        parts.push(format!("lift {}{interval}", percent(lift)));
    }
    parts.extend(comparison.p_value.map(|p_value| match p_value < LEAST_SHOWN {
        true => format!("p < {LEAST_SHOWN}"),
        false => format!("p = {p_value:.4}"),
    }));
    parts.extend(comparison.reason.map(|reason| match comparison.p_value {
        Some(_) => format!("no interval of the lift ({reason})"),
        None => format!("not tested ({reason})"),
    }));
    parts.join(", ")
}
