//! Functions along the time axis of one series. Nulls are passed over; a null made from an undefined one is undefined.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Frame;
use super::kernel::Operand;
use crate::formula::Function;
use crate::series::Column;

/// Trailing windows of `width` buckets that include their last one. The operand has `width - 1` buckets more in front.
pub fn moving(function: Function, operand: &Operand, width: usize, len: usize) -> Operand {
    let column = operand.clone().into_column(len + width - 1);
    let values = match function {
        Function::MovingMin => extremes(&column.values, width, |candidate, last| candidate <= last),
        Function::MovingMax => extremes(&column.values, width, |candidate, last| candidate >= last),
        _ => sums(&column.values, width, function == Function::MovingAvg),
    };
    let undefined = column.undefined.as_ref().map(|marks| {
        let marked = counts(marks, width);
        values.iter().zip(marked).map(|(value, count)| value.is_nan() && count > 0).collect()
    });
    finished(values, undefined)
}

/// Sums or means of windows, exact to rounding: a running sum would carry the error of every value that it ever held, so
/// that sums are made of two parts, from the window's first bucket to the end of a block and from the block's begin on.
fn sums(values: &[f64], width: usize, mean: bool) -> Vec<f64> {
    let value = |index: usize| if values[index].is_nan() { (0.0, 0_u32) } else { (values[index], 1) };
    let add = |a: (f64, u32), b: (f64, u32)| (a.0 + b.0, a.1 + b.1);
    // The sums from each bucket to the end of its block of `width` buckets.
    let mut to_end = vec![(0.0, 0); values.len()];
    for index in (0..values.len()).rev() {
        let ends = (index + 1) % width == 0 || index + 1 == values.len();
        to_end[index] = if ends { value(index) } else { add(value(index), to_end[index + 1]) };
    }
    let mut from_begin = (0.0, 0);
    let windows = (0..values.len()).filter_map(|last| {
        from_begin = if last % width == 0 { value(last) } else { add(from_begin, value(last)) };
        let first = (last + 1).checked_sub(width)?;
        let (sum, count) = if first % width == 0 { to_end[first] } else { add(to_end[first], from_begin) };
        Some(match (count, mean) {
            (0, _) => f64::NAN,
            (count, true) => sum / f64::from(count),
            (_, false) => sum,
        })
    });
    windows.collect()
}

/// The least or greatest of each window, by a queue of those that may still become it.
fn extremes(values: &[f64], width: usize, beats: impl Fn(f64, f64) -> bool) -> Vec<f64> {
    let mut candidates: VecDeque<usize> = VecDeque::new();
    let mut found = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        if !value.is_nan() {
            while candidates.back().is_some_and(|last| beats(*value, values[*last])) {
                candidates.pop_back();
            }
            candidates.push_back(index);
        }
        let Some(first) = (index + 1).checked_sub(width) else { continue };
        while candidates.front().is_some_and(|candidate| *candidate < first) {
            candidates.pop_front();
        }
        found.push(candidates.front().map_or(f64::NAN, |candidate| values[*candidate]));
    }
    found
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
    let column = operand.clone().into_column(frame.axis.len());
    let mut values = vec![f64::NAN; column.values.len()];
    let mut undefined = column.undefined.as_ref().map(|marks| vec![false; marks.len()]);
    let (mut total, mut marked) = (f64::NAN, false);
    for index in frame.lead..values.len().min(past) {
        let value = column.values[index];
        if !value.is_nan() {
            total = if total.is_nan() { value } else { total + value };
        }
        marked |= column.is_undefined(index);
        values[index] = total;
        if let Some(undefined) = &mut undefined {
            undefined[index] = total.is_nan() && marked;
        }
    }
    finished(values, undefined)
}

/// The difference from the bucket before. The operand has one bucket more in front.
pub fn delta(operand: &Operand, len: usize) -> Operand {
    let column = operand.clone().into_column(len + 1);
    let values = column.values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let undefined = column.undefined.as_ref().map(|marks| marks.windows(2).map(|pair| pair[0] || pair[1]).collect());
    finished(values, undefined)
}

/// The operand by second, by the true length of each bucket.
pub fn rate(operand: &Operand, frame: &Frame) -> Operand {
    let mut column = operand.clone().into_column(frame.axis.len());
    for (index, value) in column.values.iter_mut().enumerate() {
        let length = frame.axis.end_of(index) - frame.axis.starts()[index];
        *value /= length as f64 / 1000.0;
    }
    Operand::Column(Arc::new(column))
}

/// The rows of an earlier frame; a row that does not exist is null.
pub fn offset(operand: &Operand, rows: &[Option<u32>]) -> Operand {
    let Operand::Column(column) = operand else { return operand.clone() };
    let at = |row: &Option<u32>| row.map_or(f64::NAN, |row| column.values[row as usize]);
    let values = rows.iter().map(at).collect();
    let undefined =
        column.undefined.as_ref().map(|marks| rows.iter().map(|r| r.is_some_and(|r| marks[r as usize])).collect());
    Operand::Column(Arc::new(Column { values, undefined }))
}

/// What overflowed is null and undefined.
fn finished(mut values: Vec<f64>, mut undefined: Option<Vec<bool>>) -> Operand {
    let len = values.len();
    for (index, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_infinite()) {
        *value = f64::NAN;
        undefined.get_or_insert_with(|| vec![false; len])[index] = true;
    }
    Operand::Column(Arc::new(Column { values, undefined }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: f64 = f64::NAN;

    fn column(values: &[f64]) -> Operand {
        Operand::Column(Arc::new(Column { values: values.to_vec(), undefined: None }))
    }

    fn values(operand: &Operand, len: usize) -> Vec<Option<f64>> {
        let column = operand.clone().into_column(len);
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
            let of = |function| values(&moving(function, &column(&data), width, len), len);
            assert_eq!(of(Function::MovingSum), by(&|w| w.iter().sum()), "{width}");
            assert_eq!(of(Function::MovingAvg), by(&|w| w.iter().sum::<f64>() / w.len() as f64), "{width}");
            assert_eq!(of(Function::MovingMin), by(&|w| w.iter().copied().fold(f64::INFINITY, f64::min)), "{width}");
            assert_eq!(of(Function::MovingMax), by(&|w| w.iter().copied().fold(-f64::INFINITY, f64::max)), "{width}");
        }
    }

    #[test]
    fn a_window_forgets_great_values_wholly() {
        let data = [1e16, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(values(&moving(Function::MovingSum, &column(&data), 2, 4), 4)[1..], [Some(2.0); 3]);
    }
}
