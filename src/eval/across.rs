//! Functions across the series of a node, at each bucket. Nulls are passed over.

use std::borrow::Cow;

use super::operand::Operand;
use crate::formula::Function;

/// One series from several: `sum_by`, `avg_by`, `min_by`, `max_by`, `count_by`. Buckets from `past` on have not begun, and are
/// not counted.
pub fn fold(function: Function, members: &[&Operand], len: usize, past: usize) -> Operand {
    let mut values = vec![0.0_f64; len];
    let mut counts = vec![0_u32; len];
    for member in members {
        let member = member.values(len);
        match function {
            Function::MinBy => add(&mut values, &mut counts, &member, f64::min),
            Function::MaxBy => add(&mut values, &mut counts, &member, f64::max),
            _ => add(&mut values, &mut counts, &member, |sum, value| sum + value),
        }
    }
    for (index, (value, count)) in values.iter_mut().zip(&counts).enumerate() {
        *value = match (function, *count) {
            (Function::CountBy, count) if index < past || count > 0 => f64::from(count),
            (_, 0) => f64::NAN,
            (Function::AvgBy, count) => *value / f64::from(count),
            _ => *value,
        };
    }
    let undefined = marks(members, &values);
    Operand::settled(values, undefined)
}

/// Adds the values of one series; the first of a bucket stands for itself.
fn add(values: &mut [f64], counts: &mut [u32], member: &[f64], f: impl Fn(f64, f64) -> f64) {
    for ((folded, count), value) in values.iter_mut().zip(counts).zip(member) {
        let next = if *count == 0 { *value } else { f(*folded, *value) };
        *folded = if value.is_nan() { *folded } else { next };
        *count += u32::from(!value.is_nan());
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
