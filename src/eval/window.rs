//! Functions along the time axis of one series. Nulls are passed over; a null made from an undefined one is undefined.

use std::borrow::Cow;

use super::Frame;
use super::operand::Operand;
use crate::formula::Function;
use crate::series::column::{any_null, wide};

/// Trailing windows of `width` buckets that include their last one. The operand has `width - 1` buckets more in front. A
/// bucket from `past` on has not begun: its window would be a part of one.
pub fn moving(function: Function, operand: &Operand, width: usize, len: usize, past: usize) -> Operand {
    let (input, marks) = (operand.values(len + width - 1), operand.marks(len + width - 1));
    let mut values = match function {
        Function::MovingMin => extremes(&input, width, f64::INFINITY, |a, b| if b < a { b } else { a }),
        Function::MovingMax => extremes(&input, width, f64::NEG_INFINITY, |a, b| if b > a { b } else { a }),
        _ => sums(&input, width, function == Function::MovingAvg),
    };
    values[past.min(len)..].fill(f64::NAN);
    let undefined = marks.filter(|_| any_null(&values)).map(|marks| {
        let marked = counts(&marks, width);
        let made = |(index, (value, count)): (usize, (&f64, usize))| value.is_nan() && count > 0 && index < past;
        values.iter().zip(marked).enumerate().map(made).collect()
    });
    Operand::settled(values, undefined)
}

/// Sums or means of windows, exact to rounding: a running sum would carry the error of every value that it ever held.
fn sums(values: &[f64], width: usize, mean: bool) -> Vec<f64> {
    let added = |values: &[f64]| {
        let mut sums = windows(values, width, |a, b| a + b);
        // Parts that overflow to both sides: undefined, as any other sum that overflows.
        if any_null(&sums) {
            sums.iter_mut().filter(|sum| sum.is_nan()).for_each(|sum| *sum = f64::INFINITY);
        }
        sums
    };
    if !any_null(values) {
        let mut sums = added(values);
        if mean {
            wide(|| sums.iter_mut().for_each(|sum| *sum /= width as f64));
        }
        return sums;
    }
    let zeros: Vec<f64> = wide(|| values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect());
    let ones: Vec<f64> = wide(|| values.iter().map(|value| if value.is_nan() { 0.0 } else { 1.0 }).collect());
    let (mut sums, counts) = (added(&zeros), added(&ones));
    wide(|| {
        for (sum, count) in sums.iter_mut().zip(&counts) {
            let found = if mean { *sum / count } else { *sum };
            *sum = if *count == 0.0 { f64::NAN } else { found };
        }
    });
    sums
}

/// The least or greatest of windows; a null is as the worst that there is.
fn extremes(values: &[f64], width: usize, worst: f64, better: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    if !any_null(values) {
        return windows(values, width, better);
    }
    let present: Vec<f64> = values.iter().map(|value| if value.is_nan() { worst } else { *value }).collect();
    let mut found = windows(&present, width, better);
    found.iter_mut().for_each(|value| *value = if *value == worst { f64::NAN } else { *value });
    found
}

/// Windows that are found together, so that what is made on the way stays in the nearer caches however long the column is.
const TOGETHER: usize = 4096;

/// What the values of each window come to when they are joined.
fn windows(values: &[f64], width: usize, join: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let len = values.len() + 1 - width;
    let together = TOGETHER.max(4 * width);
    if len <= together {
        return joined(Cow::Borrowed(values), width, join);
    }
    let mut found = Vec::with_capacity(len);
    for start in (0..len).step_by(together) {
        let end = (start + together).min(len) + width - 1;
        found.extend(joined(Cow::Borrowed(&values[start..end]), width, &join));
    }
    found
}

/// Windows made of parts whose widths are powers of two, each of two neighbours of half its width: few passes over the column
/// whatever the width is, each a loop of vector instructions, and nothing in a window but its own values.
fn joined(values: Cow<'_, [f64]>, width: usize, join: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let len = values.len() + 1 - width;
    let mut found: Vec<f64> = Vec::new();
    let (mut parts, mut part, mut joined) = (values, 1, 0);
    let mut spare: Vec<f64> = Vec::new();
    loop {
        let doubled = (part * 2 <= width).then(|| {
            let mut doubled = std::mem::take(&mut spare);
            doubled.clear();
            let pairs = parts.iter().zip(&parts[part..]);
            wide(|| doubled.extend(pairs.map(|(first, second)| join(*first, *second))));
            Cow::Owned(doubled)
        });
        if width & part != 0 {
            if joined == 0 {
                found = std::mem::take(&mut parts).into_owned();
                found.truncate(len);
            } else {
                let next = &parts[joined..joined + len];
                wide(|| found.iter_mut().zip(next).for_each(|(found, next)| *found = join(*found, *next)));
            }
            joined += part;
        }
        let Some(doubled) = doubled else { return found };
        if let Cow::Owned(used) = std::mem::replace(&mut parts, doubled) {
            spare = used;
        }
        part *= 2;
    }
}

/// How many marks each window has.
fn counts(marks: &[bool], width: usize) -> Vec<usize> {
    let mut count = 0;
    let windows = (0..marks.len()).filter_map(|last| {
        count += usize::from(marks[last]);
        let first = (last + 1).checked_sub(width)?;
        let inside = count;
        count -= usize::from(marks[first]);
        Some(inside)
    });
    windows.collect()
}

/// The running total from the frame's own first bucket on; null before it, before the first value, and after now.
pub fn cumulative(operand: &Operand, frame: &Frame, past: usize) -> Operand {
    let len = frame.axis.len();
    let (input, marks) = (operand.values(len), operand.marks(len));
    let mut values = vec![f64::NAN; len];
    let mut undefined = marks.as_ref().map(|_| vec![false; len]);
    let (mut total, mut marked) = (f64::NAN, false);
    for index in frame.lead..len.min(past) {
        let value = input[index];
        if !value.is_nan() {
            total = if total.is_nan() { value } else { total + value };
        }
        values[index] = total;
        if let (Some(marks), Some(undefined)) = (&marks, &mut undefined) {
            marked |= marks[index];
            undefined[index] = total.is_nan() && marked;
        }
    }
    Operand::settled(values, undefined)
}

/// The difference from the bucket before. The operand has one bucket more in front.
pub fn delta(operand: &Operand, len: usize) -> Operand {
    let values = operand.values(len + 1);
    let values = values.iter().zip(&values[1..]).map(|(before, value)| value - before).collect();
    let marks = operand.marks(len + 1);
    let undefined = marks.map(|marks| marks.windows(2).map(|pair| pair[0] || pair[1]).collect());
    Operand::settled(values, undefined)
}

/// The operand by second, by the true length of each bucket.
pub fn rate(operand: &Operand, frame: &Frame) -> Operand {
    let len = frame.axis.len();
    let input = operand.values(len);
    let values = match frame.axis.exact_millis() {
        Some(length) => input.iter().map(|value| value / (length as f64 / 1000.0)).collect(),
        None => {
            let seconds = |index: usize| (frame.axis.end_of(index) - frame.axis.starts()[index]) as f64 / 1000.0;
            input.iter().enumerate().map(|(index, value)| value / seconds(index)).collect()
        }
    };
    Operand::settled(values, operand.marks(len).map(Cow::into_owned))
}

/// Whether an offset is the column of the earlier frame as it is, which it is for every step of one length.
pub fn is_whole(rows: &[Option<u32>], len: usize) -> bool {
    rows.len() == len && rows.iter().enumerate().all(|(index, row)| *row == u32::try_from(index).ok())
}

/// The rows of an earlier frame; a row that does not exist is null.
pub fn offset(operand: &Operand, rows: &[Option<u32>]) -> Operand {
    let Operand::Column(column) = operand else { return operand.clone() };
    let at = |row: &Option<u32>| row.map_or(f64::NAN, |row| column.values[row as usize]);
    let marked = |row: &Option<u32>| row.is_some_and(|row| column.is_undefined(row as usize));
    let undefined = column.undefined.as_ref().map(|_| rows.iter().map(marked).collect());
    Operand::settled(rows.iter().map(at).collect(), undefined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Column;

    const N: f64 = f64::NAN;

    fn column(values: &[f64]) -> Operand {
        Operand::settled(values.to_vec(), None)
    }

    fn values(operand: &Operand, len: usize) -> Vec<Option<f64>> {
        let column: Column = operand.clone().into_column(len);
        (0..len).map(|index| column.get(index)).collect()
    }

    #[test]
    fn windows_equal_their_definition_at_every_width() {
        let data = [3.0, N, -1.0, 4.0, 1.0, N, N, N, 5.0, 9.0, 2.0, 6.0, 5.0];
        for width in 1..=data.len() {
            let len = data.len() - width + 1;
            let window = |index: usize| data[index..index + width].iter().copied().filter(|value| !value.is_nan());
            let by = |f: &dyn Fn(Vec<f64>) -> f64| -> Vec<Option<f64>> {
                (0..len).map(|i| Some(window(i).collect::<Vec<_>>()).filter(|w| !w.is_empty()).map(f)).collect()
            };
            let of = |function| values(&moving(function, &column(&data), width, len, len), len);
            assert_eq!(of(Function::MovingSum), by(&|w| w.iter().sum()), "{width}");
            assert_eq!(of(Function::MovingAvg), by(&|w| w.iter().sum::<f64>() / w.len() as f64), "{width}");
            assert_eq!(of(Function::MovingMin), by(&|w| w.iter().copied().fold(f64::INFINITY, f64::min)), "{width}");
            assert_eq!(of(Function::MovingMax), by(&|w| w.iter().copied().fold(-f64::INFINITY, f64::max)), "{width}");
        }
    }

    #[test]
    fn long_columns_come_to_the_same_as_their_parts() {
        let data: Vec<f64> = (0..3 * TOGETHER).map(|index| ((index * 7919) % 1013) as f64 / 8.0).collect();
        for width in [2, 61, TOGETHER] {
            let len = data.len() - width + 1;
            let whole = windows(&data, width, |a, b| a + b);
            let plain = (0..len).step_by(997).map(|index| data[index..index + width].iter().sum::<f64>());
            assert_eq!((whole.len(), whole.iter().copied().step_by(997).collect::<Vec<_>>()), (len, plain.collect()));
        }
    }

    #[test]
    fn a_sum_that_overflows_is_undefined_whichever_way() {
        for data in [[1e308; 4], [1e308, 1e308, -1e308, -1e308]] {
            let column = moving(Function::MovingSum, &column(&data), 4, 1, 1).into_column(1);
            assert!(column.get(0).is_none() && column.is_undefined(0), "{data:?}");
        }
    }

    #[test]
    fn a_window_forgets_great_values_wholly() {
        let data = [1e16, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(values(&moving(Function::MovingSum, &column(&data), 2, 4, 4), 4)[1..], [Some(2.0); 3]);
    }
}
