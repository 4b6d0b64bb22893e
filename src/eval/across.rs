//! Functions across the series of a node, at each bucket. Nulls are passed over.

use std::borrow::Cow;

use super::operand::Operand;
use crate::formula::Function;
use crate::series::column::{any_null, wide};

/// One series from several: `sum_by`, `avg_by`, `min_by`, `max_by`, `count_by`. Buckets from `past` on have not begun, and are
/// not counted.
pub fn fold(function: Function, members: &[&Operand], len: usize, past: usize) -> Operand {
    let mut folded = match function {
        Function::MinBy => Folded::new(f64::INFINITY, len),
        Function::MaxBy => Folded::new(f64::NEG_INFINITY, len),
        // Adding it changes nothing, not even the sign of a zero.
        _ => Folded::new(-0.0, len),
    };
    for member in members {
        let member = member.values(len);
        match function {
            Function::MinBy => folded.add(&member, |least, value| if value < least { value } else { least }),
            Function::MaxBy => folded.add(&member, |greatest, value| if value > greatest { value } else { greatest }),
            Function::CountBy => {
                folded.count(&member);
            }
            _ => folded.add(&member, |sum, value| sum + value),
        }
    }
    let values = folded.finish(function, past);
    let undefined = marks(members, &values);
    Operand::settled(values, undefined)
}

/// What several series come to so far.
struct Folded {
    /// What a series without a value adds.
    nothing: f64,
    values: Vec<f64>,
    /// How many series have no null.
    whole: u32,
    /// How many of the others have a value; empty where there is no other.
    counts: Vec<u32>,
}

impl Folded {
    fn new(nothing: f64, len: usize) -> Folded {
        Folded { nothing, values: vec![nothing; len], whole: 0, counts: Vec::new() }
    }

    /// Adds the values of one series.
    fn add(&mut self, member: &[f64], f: impl Fn(f64, f64) -> f64) {
        let nothing = self.nothing;
        match self.count(member) {
            true => {
                wide(|| self.values.iter_mut().zip(member).for_each(|(folded, value)| *folded = f(*folded, *value)));
            }
            false => wide(|| {
                for (folded, value) in self.values.iter_mut().zip(member) {
                    *folded = f(*folded, if value.is_nan() { nothing } else { *value });
                }
            }),
        }
    }

    /// Counts the values of one series. True: it has no null.
    fn count(&mut self, member: &[f64]) -> bool {
        let whole = !any_null(member);
        if whole {
            self.whole += 1;
        } else {
            self.counts.resize(self.values.len(), 0);
            self.counts.iter_mut().zip(member).for_each(|(count, value)| *count += u32::from(!value.is_nan()));
        }
        whole
    }

    fn finish(self, function: Function, past: usize) -> Vec<f64> {
        let Folded { mut values, whole, mut counts, .. } = self;
        counts.resize(values.len(), 0);
        for (index, (value, count)) in values.iter_mut().zip(counts).enumerate() {
            *value = match (function, whole + count) {
                (Function::CountBy, count) if index < past || count > 0 => f64::from(count),
                (_, 0) => f64::NAN,
                (Function::AvgBy, count) => *value / f64::from(count),
                _ => *value,
            };
        }
        values
    }
}

/// Which nulls are made from undefined ones.
fn marks(members: &[&Operand], values: &[f64]) -> Option<Vec<bool>> {
    let mut members = members.iter().filter_map(|member| member.marks(values.len()));
    let mut all: Vec<bool> = members.next().map(Cow::into_owned)?;
    for marks in members {
        all.iter_mut().zip(&*marks).for_each(|(all, mark)| *all |= mark);
    }
    all.iter_mut().zip(values).for_each(|(all, value)| *all &= value.is_nan());
    Some(all)
}

/// The places of the `count` series with the greatest sums over the buckets from `lead` on; ties go to the earlier series.
pub fn top(series: &[&Operand], count: usize, lead: usize, len: usize) -> Vec<usize> {
    let sum = |operand: &&Operand| {
        let values = operand.values(len);
        let present = values[lead..].iter().filter(|value| !value.is_nan());
        present.copied().reduce(|sum, value| sum + value).unwrap_or(f64::NEG_INFINITY)
    };
    let mut ranked: Vec<(usize, f64)> = series.iter().map(sum).enumerate().collect();
    // A stable sort: series come in the order of their tags.
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.into_iter().take(count).map(|(place, _)| place).collect()
}
