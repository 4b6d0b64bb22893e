//! A time axis → stretches of buckets that all have the same length, which Elasticsearch's `fixed_interval` makes exactly.
//!
//! The days of a timezone have 23, 24 or 25 hours; its calendar and ours may know different rules. So every stretch of equally
//! long days is a search of its own, with no calendar in it.

use crate::backend::WholeRange;
use crate::series::TimeAxis;

/// Buckets of `interval` milliseconds from `from` up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub from: i64,
    pub to: i64,
    pub interval: i64,
}

impl Slice {
    /// How many buckets it has.
    pub fn buckets(&self) -> i64 {
        (self.to - self.from) / self.interval
    }

    /// What its bucket's starts leave when divided by its interval.
    pub fn offset(&self) -> i64 {
        self.from.rem_euclid(self.interval)
    }

    /// About `parts` pieces, each of whole buckets.
    pub fn cut(self, parts: i64) -> impl Iterator<Item = Slice> {
        let each = (self.buckets() + parts.max(1) - 1) / parts.max(1) * self.interval;
        let count = (self.to - self.from + each - 1) / each;
        (0..count).map(move |part| {
            let from = self.from + part * each;
            Slice { from, to: (from + each).min(self.to), interval: self.interval }
        })
    }
}

/// The stretches of an axis, so that no bucket of theirs crosses an edge of `whole`.
pub fn slices(axis: &TimeAxis, whole: Option<WholeRange>) -> Vec<Slice> {
    let cuts = whole.map_or([axis.from(); 2], |whole| [whole.from, whole.to]);
    let mut edges: Vec<i64> = axis.starts().iter().copied().chain([axis.to()]).collect();
    for cut in cuts {
        if let Err(place) = edges.binary_search(&cut)
            && place > 0
            && place < edges.len()
        {
            edges.insert(place, cut);
        }
    }
    let mut slices: Vec<Slice> = Vec::new();
    for pair in edges.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        match slices.last_mut() {
            Some(last) if last.interval == to - from => last.to = to,
            _ => slices.push(Slice { from, to, interval: to - from }),
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn an_exact_axis_is_one_slice_and_a_whole_that_cuts_a_bucket_makes_its_parts() {
        let axis = TimeAxis::covering(0, 10 * HOUR, "1h".parse().unwrap(), &TimeZone::UTC, 100).unwrap();
        assert_eq!(slices(&axis, None), [Slice { from: 0, to: 10 * HOUR, interval: HOUR }]);
        let whole = Some(WholeRange { from: HOUR, to: 10 * HOUR });
        assert_eq!(slices(&axis, whole).len(), 1);
        let whole = Some(WholeRange { from: HOUR / 4, to: 10 * HOUR });
        let parts: Vec<(i64, i64)> = slices(&axis, whole).iter().map(|slice| (slice.from, slice.interval)).collect();
        assert_eq!(parts, [(0, HOUR / 4), (HOUR / 4, HOUR * 3 / 4), (HOUR, HOUR)]);
    }

    #[test]
    fn days_are_told_apart_by_their_length() {
        let new_york = TimeZone::get("America/New_York").unwrap();
        let from = "2026-03-06T05:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let axis = TimeAxis::covering(from, from + 100 * HOUR, "1d".parse().unwrap(), &new_york, 100).unwrap();
        let days: Vec<(i64, i64)> =
            slices(&axis, None).iter().map(|slice| (slice.interval / HOUR, slice.buckets())).collect();
        assert_eq!(days, [(24, 2), (23, 1), (24, 2)]);
    }

    #[test]
    fn pieces_are_of_whole_buckets_and_leave_nothing_out() {
        let slice = Slice { from: -7, to: 63, interval: 7 };
        assert_eq!(slice.offset(), 0);
        for parts in 1..20 {
            let pieces: Vec<Slice> = slice.cut(parts).collect();
            assert!(pieces.len() as i64 <= parts);
            assert_eq!((pieces[0].from, pieces[pieces.len() - 1].to), (-7, 63));
            assert!(pieces.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].buckets() > 0));
        }
    }
}
