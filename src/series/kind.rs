//! What a metric's points are, how a bucket's points become one value, and what an empty bucket is worth.

use std::fmt;
use std::str::FromStr;

/// What the points of a stored series mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Kind {
    /// An amount per point.
    #[default]
    Delta,
    /// A level.
    Gauge,
    /// A value that only grows, but for resets.
    Counter,
    /// A count of things that may repeat, so that it cannot be added up.
    Distinct,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 4] = [Kind::Delta, Kind::Gauge, Kind::Counter, Kind::Distinct];

    /// The name in a keyspace file.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Delta => "delta",
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Distinct => "distinct",
        }
    }

    /// The aggregate of a metric that names none.
    pub fn default_aggregate(self) -> Aggregate {
        match self {
            Kind::Gauge => Aggregate::Avg,
            Kind::Delta | Kind::Counter | Kind::Distinct => Aggregate::Sum,
        }
    }

    /// Whether this kind bears the aggregate: counters and distinct counts bear only `sum`.
    pub fn bears(self, aggregate: Aggregate) -> bool {
        match self {
            Kind::Delta | Kind::Gauge => true,
            Kind::Counter | Kind::Distinct => aggregate == Aggregate::Sum,
        }
    }

    /// The fill of a metric that names none.
    pub fn default_fill(self, aggregate: Aggregate) -> Fill {
        match (self, aggregate) {
            (Kind::Delta, Aggregate::Sum | Aggregate::Count) | (Kind::Counter, _) => Fill::Zero,
            _ => Fill::None,
        }
    }
}

/// How all stored points of one bucket and group become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aggregate {
    /// The sum of the values.
    Sum,
    /// The sum over the count.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many points there are.
    Count,
    /// The value of the earliest point; a tie between series goes to the greater value.
    First,
    /// The value of the latest point; a tie between series goes to the greater value.
    Last,
    /// The percentile in thousandths of a percent (`p95` is 95 000), at the zero-based rank `(n − 1)·p/100` of the sorted
    /// points, interpolated linearly (numpy's default).
    Percentile(u32),
}

impl Aggregate {
    /// The fraction (0 to 1) of a percentile, or `None` for the other aggregates.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Aggregate::Percentile(thousandths) => Some(f64::from(thousandths) / 100_000.0),
            _ => None,
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aggregate::Sum => f.write_str("sum"),
            Aggregate::Avg => f.write_str("avg"),
            Aggregate::Min => f.write_str("min"),
            Aggregate::Max => f.write_str("max"),
            Aggregate::Count => f.write_str("count"),
            Aggregate::First => f.write_str("first"),
            Aggregate::Last => f.write_str("last"),
            Aggregate::Percentile(thousandths) => write!(f, "p{}", f64::from(*thousandths) / 1000.0),
        }
    }
}

impl FromStr for Aggregate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "sum" => Aggregate::Sum,
            "avg" => Aggregate::Avg,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "count" => Aggregate::Count,
            "first" => Aggregate::First,
            "last" => Aggregate::Last,
            _ => return percentile(text).ok_or(()),
        })
    }
}

/// `p95`, `p99.9`: at most three digits before the point and three behind it, from 0 to 100.
fn percentile(text: &str) -> Option<Aggregate> {
    let digits = text.strip_prefix('p')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || fraction.len() > 3 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    if digits.ends_with('.') {
        return None;
    }
    let thousandths: u32 = whole.parse::<u32>().ok()? * 1000 + format!("{fraction:0<3}").parse::<u32>().ok()?;
    (thousandths <= 100_000).then_some(Aggregate::Percentile(thousandths))
}

/// What a bucket without points is worth. Never applied to a bucket that begins after now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fill {
    /// Null.
    None,
    /// 0.
    Zero,
    /// The last value within what was read.
    Previous,
}

impl Fill {
    /// The name in a keyspace file.
    pub fn as_str(self) -> &'static str {
        match self {
            Fill::None => "none",
            Fill::Zero => "zero",
            Fill::Previous => "previous",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_read_and_printed() {
        for text in ["sum", "avg", "min", "max", "count", "first", "last", "p0", "p50", "p95", "p99.9", "p100"] {
            let aggregate: Aggregate = text.parse().unwrap();
            assert_eq!(aggregate.to_string(), text);
        }
        for text in ["", "p", "p101", "p-1", "p1e2", "p.5", "p5.", "p99.9999", "mean", "P50", "p0500"] {
            assert!(text.parse::<Aggregate>().is_err(), "{text}");
        }
        assert_eq!("p95".parse::<Aggregate>().unwrap().quantile(), Some(0.95));
    }
}
