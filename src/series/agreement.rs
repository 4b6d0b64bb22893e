//! Two columns of the same buckets side by side: how closely they must agree, and where they do not.

use std::ops::Range;

/// How closely two values must agree. What is not finite agrees only with itself, and a null with a null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Not at all apart.
    Exact,
    /// Apart by at most so much of the greatest value of the two columns. This stands for a bound on the sum of the points
    /// behind a value, which an answer does not tell. Whole numbers that 64 bits hold exactly must be equal.
    OfScale(f64),
    /// Apart by at most so much of the greater of the two values.
    OfValue(f64),
}

/// A bucket in which two columns differ; `None` is a null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// The bucket.
    pub index: usize,
    /// The left value.
    pub left: Option<f64>,
    /// The right value.
    pub right: Option<f64>,
}

impl Disagreement {
    /// How far apart the values are, as a part of the greater one; infinite where one is missing or not finite.
    pub fn relative(&self) -> f64 {
        let (Some(left), Some(right)) = (self.left, self.right) else { return f64::INFINITY };
        relative(left, right)
    }
}

/// What a comparison of two columns came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agreement {
    /// Buckets in which one of the two has a value.
    pub compared: usize,
    /// Of these, buckets in which only the right has one.
    pub missing_left: usize,
    /// Of these, buckets in which only the left has one.
    pub missing_right: usize,
    /// Of these, buckets in which the values are further apart than they may be.
    pub differing: usize,
    /// The bucket in which they are furthest apart, where any differ.
    pub worst: Option<Disagreement>,
    /// The greatest part by which two values are apart, within what they may be or not.
    pub largest: Option<Disagreement>,
}

impl Agreement {
    /// Whether the columns agree.
    pub fn is_whole(&self) -> bool {
        self.differing + self.missing() == 0
    }

    /// Buckets that one of the two lacks.
    pub fn missing(&self) -> usize {
        self.missing_left + self.missing_right
    }
}

/// Compares the buckets `range` of two columns in which NaN is a null.
pub fn compare(left: &[f64], right: &[f64], range: Range<usize>, tolerance: Tolerance) -> Agreement {
    let range = common(left, right, range);
    let allowed = Allowed::new(tolerance, &left[range.clone()], &right[range.clone()]);
    let mut agreement = Agreement::default();
    for index in range {
        let found = at(left, right, index);
        let differs = match (found.left, found.right) {
            (None, None) => continue,
            (Some(left), Some(right)) => {
                if agreement.largest.is_none_or(|largest| found.relative() > largest.relative()) {
                    agreement.largest = Some(found);
                }
                let differs = !allowed.agree(left, right);
                agreement.differing += usize::from(differs);
                differs
            }
            (None, Some(_)) => {
                agreement.missing_left += 1;
                true
            }
            (Some(_), None) => {
                agreement.missing_right += 1;
                true
            }
        };
        agreement.compared += 1;
        if differs && agreement.worst.is_none_or(|worst| found.relative() > worst.relative()) {
            agreement.worst = Some(found);
        }
    }
    agreement
}

/// The buckets `range` in which two columns do not agree.
pub fn disagreements<'c>(
    left: &'c [f64],
    right: &'c [f64],
    range: Range<usize>,
    tolerance: Tolerance,
) -> impl Iterator<Item = Disagreement> + 'c {
    let range = common(left, right, range);
    let allowed = Allowed::new(tolerance, &left[range.clone()], &right[range.clone()]);
    range.map(|index| at(left, right, index)).filter(move |found| match (found.left, found.right) {
        (Some(left), Some(right)) => !allowed.agree(left, right),
        (left, right) => left.is_some() || right.is_some(),
    })
}

/// What of a range both columns have.
fn common(left: &[f64], right: &[f64], range: Range<usize>) -> Range<usize> {
    let end = range.end.min(left.len()).min(right.len());
    range.start.min(end)..end
}

fn at(left: &[f64], right: &[f64], index: usize) -> Disagreement {
    let value = |value: f64| (!value.is_nan()).then_some(value);
    Disagreement { index, left: value(left[index]), right: value(right[index]) }
}

/// A tolerance that knows the columns.
struct Allowed {
    of_value: f64,
    absolute: f64,
    /// Whether whole numbers must be equal.
    whole: bool,
}

/// From here on not every whole number is a 64-bit float.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

impl Allowed {
    fn new(tolerance: Tolerance, left: &[f64], right: &[f64]) -> Allowed {
        match tolerance {
            Tolerance::Exact => Allowed { of_value: 0.0, absolute: 0.0, whole: true },
            Tolerance::OfValue(part) => Allowed { of_value: part, absolute: 0.0, whole: false },
            Tolerance::OfScale(part) => {
                let finite = left.iter().chain(right).map(|value| value.abs()).filter(|value| value.is_finite());
                Allowed { of_value: 0.0, absolute: part * finite.fold(0.0, f64::max), whole: true }
            }
        }
    }

    fn agree(&self, left: f64, right: f64) -> bool {
        if left == right {
            return true;
        }
        let is_whole = |value: f64| value.fract() == 0.0 && value.abs() < MAX_WHOLE;
        if self.whole && is_whole(left) && is_whole(right) {
            return false;
        }
        let apart = (left - right).abs();
        apart.is_finite() && apart <= self.absolute.max(self.of_value * left.abs().max(right.abs()))
    }
}

fn relative(left: f64, right: f64) -> f64 {
    if left == right {
        return 0.0;
    }
    let part = (left - right).abs() / left.abs().max(right.abs());
    if part.is_nan() { f64::INFINITY } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NULL: f64 = f64::NAN;

    #[test]
    fn nulls_and_values_out_of_bounds_are_counted_and_the_worst_is_kept() {
        let (left, right) = ([1.0, 2.0, NULL, 4.0, NULL, 6.0], [1.0, 2.2, 3.0, NULL, NULL, 6.0]);
        let found = compare(&left, &right, 0..6, Tolerance::Exact);
        assert_eq!((found.compared, found.differing, found.missing_left, found.missing_right), (5, 1, 1, 1));
        assert_eq!(found.worst.unwrap().index, 2, "a missing value is further apart than any other");
        assert_eq!(found.largest, Some(Disagreement { index: 1, left: Some(2.0), right: Some(2.2) }));
        assert!(compare(&left, &right, 0..1, Tolerance::Exact).is_whole());
        assert!(compare(&left, &right, 9..12, Tolerance::Exact).is_whole());
    }

    #[test]
    fn tolerances_are_of_the_scale_or_of_the_value() {
        let (left, right) = ([1.25, 1e9], [1.5, 1e9]);
        assert!(compare(&left, &right, 0..2, Tolerance::OfScale(1e-9)).is_whole());
        assert!(!compare(&left, &right, 0..1, Tolerance::OfScale(1e-9)).is_whole());
        assert!(!compare(&left, &right, 0..2, Tolerance::OfValue(1e-9)).is_whole());
        assert!(compare(&left, &right, 0..2, Tolerance::OfValue(0.5)).is_whole());
        assert!(compare(&[0.0], &[-0.0], 0..1, Tolerance::Exact).is_whole());
        let found: Vec<usize> = disagreements(&[1.0, 1e12], &[2.0, 1e12], 0..2, Tolerance::OfScale(1e-9))
            .map(|found| found.index)
            .collect();
        assert_eq!(found, [0], "whole numbers are equal or not");
    }

    #[test]
    fn what_overflowed_agrees_with_itself_only() {
        let infinite = f64::INFINITY;
        assert!(compare(&[infinite], &[infinite], 0..1, Tolerance::Exact).is_whole());
        let found = compare(&[infinite], &[1e300], 0..1, Tolerance::OfScale(1.0));
        assert_eq!((found.differing, found.worst.unwrap().relative()), (1, infinite));
    }
}
