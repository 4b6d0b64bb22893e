//! Functions along the time axis of one series. Nulls are passed over; a null made from an undefined one is undefined.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Frame;
use super::operand::Operand;
use crate::formula::Function;

/// Trailing windows of `width` buckets that include their last one. The operand has `width - 1` buckets more in front. A
/// bucket from `past` on has not begun: its window would be a part of one.
pub fn moving(function: Function, operand: &Operand, width: usize, len: usize, past: usize) -> Operand {
    let (input, marks) = (operand.values(len + width - 1), operand.marks(len + width - 1));
    let mut values = match function {
        Function::MovingMin => extremes(&input, width, |candidate, last| candidate <= last),
        Function::MovingMax => extremes(&input, width, |candidate, last| candidate >= last),
        _ => sums(&input, width, function == Function::MovingAvg),
    };
    values[past.min(len)..].fill(f64::NAN);
    let undefined = marks.map(|marks| {
        let marked = counts(&marks, width);
        let made = |(index, (value, count)): (usize, (&f64, usize))| value.is_nan() && count > 0 && index < past;
        values.iter().zip(marked).enumerate().map(made).collect()
    });
    Operand::settled(values, undefined)
}

/// Windows up to this width are added up value by value: whole columns at a time, which is faster than fewer additions.
const NARROW: usize = 12;

/// Sums or means of windows, exact to rounding: a running sum would carry the error of every value that it ever held.
fn sums(values: &[f64], width: usize, mean: bool) -> Vec<f64> {
    let added = |values: &[f64]| if width <= NARROW { narrow(values, width) } else { wide(values, width) };
    if values.iter().all(|value| !value.is_nan()) {
        let mut sums = added(values);
        if mean {
            sums.iter_mut().for_each(|sum| *sum /= width as f64);
        }
        return sums;
    }
    let zeros: Vec<f64> = values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect();
    let ones: Vec<bool> = values.iter().map(|value| !value.is_nan()).collect();
    let mut sums = added(&zeros);
    for (sum, count) in sums.iter_mut().zip(counts(&ones, width)) {
        *sum = match (count, mean) {
            (0, _) => f64::NAN,
            (count, true) => *sum / count as f64,
            (_, false) => *sum,
        };
    }
    sums
}

fn narrow(values: &[f64], width: usize) -> Vec<f64> {
    let len = values.len() + 1 - width;
    let mut sums = values[..len].to_vec();
    for shift in 1..width {
        sums.iter_mut().zip(&values[shift..]).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Each sum is made of two parts: from the window's first bucket to the end of a block of `width` buckets, and from the next
/// block's begin on.
fn wide(values: &[f64], width: usize) -> Vec<f64> {
    let mut to_end = values.to_vec();
    for block in to_end.chunks_mut(width) {
        for index in (0..block.len() - 1).rev() {
            block[index] += block[index + 1];
        }
    }
    let mut from_begin = 0.0;
    let windows = (0..values.len()).filter_map(|last| {
        let first_of_block = last % width == 0;
        from_begin = if first_of_block { values[last] } else { from_begin + values[last] };
        let first = (last + 1).checked_sub(width)?;
        Some(if first % width == 0 { to_end[first] } else { to_end[first] + from_begin })
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
    let values = operand.values(len + 1).windows(2).map(|pair| pair[1] - pair[0]).collect();
    let marks = operand.marks(len + 1);
    let undefined = marks.map(|marks| marks.windows(2).map(|pair| pair[0] || pair[1]).collect());
    Operand::settled(values, undefined)
}

/// The operand by second, by the true length of each bucket.
pub fn rate(operand: &Operand, frame: &Frame) -> Operand {
    let len = frame.axis.len();
    let seconds = |index: usize| (frame.axis.end_of(index) - frame.axis.starts()[index]) as f64 / 1000.0;
    let input = operand.values(len);
    let values = input.iter().enumerate().map(|(index, value)| value / seconds(index)).collect();
    Operand::settled(values, operand.marks(len).map(Cow::into_owned))
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
    fn a_window_forgets_great_values_wholly() {
        let data = [1e16, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(values(&moving(Function::MovingSum, &column(&data), 2, 4, 4), 4)[1..], [Some(2.0); 3]);
    }
}
