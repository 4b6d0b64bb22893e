//! Functions across the series of a node, at each bucket. Nulls are passed over.

use std::sync::Arc;

use super::kernel::Operand;
use crate::formula::Function;
use crate::series::Column;

/// One series from several: `sum_by`, `avg_by`, `min_by`, `max_by`, `count_by`. Buckets from `past` on have not begun, and are
/// not counted.
pub fn fold(function: Function, members: &[&Operand], len: usize, past: usize) -> Operand {
    let mut values = vec![0.0_f64; len];
    let mut counts = vec![0_u32; len];
    let mut undefined: Option<Vec<bool>> = None;
    for member in members {
        for (index, (folded, count)) in values.iter_mut().zip(&mut counts).enumerate() {
            let value = member.at(index);
            if value.is_nan() {
                continue;
            }
            *folded = match function {
                Function::MinBy if *count > 0 => folded.min(value),
                Function::MaxBy if *count > 0 => folded.max(value),
                Function::MinBy | Function::MaxBy => value,
                _ => *folded + value,
            };
            *count += 1;
        }
        if let Operand::Column(column) = member
            && let Some(marks) = &column.undefined
        {
            let all = undefined.get_or_insert_with(|| vec![false; len]);
            all.iter_mut().zip(marks).for_each(|(all, mark)| *all |= mark);
        }
    }
    for (index, (value, count)) in values.iter_mut().zip(&counts).enumerate() {
        *value = match (function, *count) {
            (Function::CountBy, count) if index < past || count > 0 => f64::from(count),
            (_, 0) => f64::NAN,
            (Function::AvgBy, count) => *value / f64::from(count),
            _ => *value,
        };
        if let Some(marks) = &mut undefined {
            marks[index] &= value.is_nan();
        }
        if value.is_infinite() {
            *value = f64::NAN;
            undefined.get_or_insert_with(|| vec![false; len])[index] = true;
        }
    }
    Operand::Column(Arc::new(Column { values, undefined }))
}

/// The places of the `count` series with the greatest sums over the buckets from `lead` on; ties go to the earlier series.
pub fn top(series: &[&Operand], count: usize, lead: usize, len: usize) -> Vec<usize> {
    let sum = |operand: &&Operand| {
        let present = (lead..len).map(|index| operand.at(index)).filter(|value| !value.is_nan());
        present.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value)).unwrap_or(f64::NEG_INFINITY)
    };
    let mut ranked: Vec<(usize, f64)> = series.iter().map(sum).enumerate().collect();
    // A stable sort: series come in the order of their tags.
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.into_iter().take(count).map(|(place, _)| place).collect()
}
