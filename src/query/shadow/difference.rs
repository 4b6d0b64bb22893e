//! The frames of one selection from two backends, compared. Pure.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::backend::{GroupColumn, Selection, SelectionFrame};
use crate::series::agreement::{self, Tolerance};

/// Differences of one selection that are kept to be shown; all are counted.
const SHOWN: usize = 3;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// A series that one of the two lacks.
    MissingSeries,
    /// A bucket that one of the two lacks.
    MissingBucket,
}

impl Kind {
    /// As in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Value => "value",
            Kind::MissingSeries => "missing_series",
            Kind::MissingBucket => "missing_bucket",
        }
    }
}

/// One difference, to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What differs.
    pub kind: Kind,
    /// The values of the selection's `group_by` tags.
    pub key: Vec<Arc<str>>,
    /// The start of the bucket; `None`: the whole range as one bucket.
    pub timestamp: Option<i64>,
    /// The first backend's value.
    pub primary: Option<f64>,
    /// The shadow's.
    pub shadow: Option<f64>,
}

/// Everything in which two frames differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    /// Values further apart than they may be.
    pub values: usize,
    /// Series that one of the two lacks.
    pub missing_series: usize,
    /// Buckets of a series of both that one of the two lacks.
    pub missing_buckets: usize,
    /// Some of them.
    pub shown: Vec<Difference>,
}

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values + self.missing_series + self.missing_buckets == 0
    }

    /// The counts by kind.
    pub fn counts(&self) -> [(Kind, usize); 3] {
        [
            (Kind::Value, self.values),
            (Kind::MissingSeries, self.missing_series),
            (Kind::MissingBucket, self.missing_buckets),
        ]
    }

    fn show(&mut self, difference: impl FnOnce() -> Difference) {
        if self.shown.len() < SHOWN {
            self.shown.push(difference());
        }
    }
}

/// What of a selection is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The buckets: those that both backends keep and that have settled.
    pub buckets: Range<usize>,
    /// Whether the range as one bucket is such too.
    pub whole: bool,
}

impl Scope {
    /// Buckets that begin at `retained_from` or later and end at `settled_at` or before.
    pub fn new(selection: &Selection, retained_from: i64, settled_at: i64) -> Scope {
        let axis = &selection.axis;
        let first = axis.starts().partition_point(|start| *start < retained_from);
        let ended = axis.starts()[1..].partition_point(|end| *end <= settled_at);
        let last = if axis.to() <= settled_at { axis.len() } else { ended };
        let whole = selection.whole.is_some_and(|whole| whole.from >= retained_from && whole.to <= settled_at);
        Scope { buckets: first.min(last)..last, whole }
    }
}

/// Compares two frames of a selection.
pub fn compare(selection: &Selection, scope: &Scope, primary: &SelectionFrame, shadow: &SelectionFrame) -> Differences {
    let mut differences = Differences::default();
    let (mut left, mut right) = (primary.groups.iter().peekable(), shadow.groups.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.key.cmp(&right.key),
        };
        match order {
            Ordering::Less => differences.extend_missing(selection, scope, left.next(), true),
            Ordering::Greater => differences.extend_missing(selection, scope, right.next(), false),
            Ordering::Equal => {
                if let (Some(left), Some(right)) = (left.next(), right.next()) {
                    differences.extend_group(selection, scope, left, right);
                }
            }
        }
    }
}

impl Differences {
    /// Counts a group that one of the two lacks, if it has a value in what is compared.
    fn extend_missing(&mut self, selection: &Selection, scope: &Scope, group: Option<&GroupColumn>, in_primary: bool) {
        let Some(group) = group else { return };
        let found = scope.buckets.clone().find(|index| group.values.get(*index).is_some_and(|value| !value.is_nan()));
        let Some(index) = found else { return };
        self.missing_series += 1;
        let value = group.values.get(index).copied();
        self.show(|| Difference {
            kind: Kind::MissingSeries,
            key: group.key.clone(),
            timestamp: selection.axis.starts().get(index).copied(),
            primary: value.filter(|_| in_primary),
            shadow: value.filter(|_| !in_primary),
        });
    }

    fn extend_group(&mut self, selection: &Selection, scope: &Scope, left: &GroupColumn, right: &GroupColumn) {
        let tolerance = selection.tolerance();
        let found = agreement::compare(&left.values, &right.values, scope.buckets.clone(), tolerance);
        self.values += found.differing;
        self.missing_buckets += found.missing();
        if let Some(worst) = found.worst {
            let kind = if worst.left.is_some() && worst.right.is_some() { Kind::Value } else { Kind::MissingBucket };
            let timestamp = selection.axis.starts().get(worst.index).copied();
            let (primary, shadow) = (worst.left, worst.right);
            self.show(|| Difference { kind, key: left.key.clone(), timestamp, primary, shadow });
        }
        if scope.whole && found.is_whole() {
            self.extend_whole(tolerance, left, right);
        }
    }

    /// The range as one bucket, where its buckets agree; where they do not, it cannot.
    fn extend_whole(&mut self, tolerance: Tolerance, left: &GroupColumn, right: &GroupColumn) {
        let found = agreement::compare(&[left.whole], &[right.whole], 0..1, tolerance);
        self.values += found.differing + found.missing();
        if let Some(worst) = found.worst {
            let (primary, shadow) = (worst.left, worst.right);
            self.show(|| Difference { kind: Kind::Value, key: left.key.clone(), timestamp: None, primary, shadow });
        }
    }
}
