//! The demo's data: a simulated storefront that tries out a checkout button. Nothing of it was measured anywhere.
//!
//! Every value is a pure function of its series and its minute, so that data written twice are the same data, and any two
//! installations show the same picture.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::backend::{Backend, BackendError, SelectBatch, SelectLimits, Selection};
use crate::series::{Aggregate, Kind, Point, Step, StepUnit, TimeAxis};

/// How many days before now are simulated.
pub const DAYS: u32 = 3;

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;

/// Minutes written at once. A minute is never split, so that a minute with visitors is a complete one.
const MINUTES_PER_WRITE: i64 = 120;

/// A part of the simulated visits.
struct Segment {
    variation: &'static str,
    platform: &'static str,
    /// Visitors a minute on an average day.
    visitors: f64,
    conversion: f64,
    /// Of a visit: clicks on the hero banner and on the search.
    clicks: [(&'static str, f64); 2],
    /// Seconds that a page takes at best.
    load_time: f64,
}

const CONTROL: [(&str, f64); 2] = [("hero", 0.30), ("search", 0.18)];
const TREATMENT: [(&str, f64); 2] = [("hero", 0.34), ("search", 0.17)];

const SEGMENTS: [Segment; 6] = [
    segment("control", "web", 24.0, 0.110, CONTROL, 0.62),
    segment("control", "ios", 14.0, 0.135, CONTROL, 0.71),
    segment("control", "android", 10.0, 0.095, CONTROL, 0.88),
    segment("treatment", "web", 24.0, 0.128, TREATMENT, 0.66),
    segment("treatment", "ios", 14.0, 0.149, TREATMENT, 0.74),
    segment("treatment", "android", 10.0, 0.104, TREATMENT, 0.93),
];

const fn segment(
    variation: &'static str,
    platform: &'static str,
    visitors: f64,
    conversion: f64,
    clicks: [(&'static str, f64); 2],
    load_time: f64,
) -> Segment {
    Segment { variation, platform, visitors, conversion, clicks, load_time }
}

/// The points of all whole minutes `m` with `from_ms ≤ m < to_ms`, in order of time.
pub fn points(from_ms: i64, to_ms: i64) -> impl Iterator<Item = Point> {
    minutes(from_ms, to_ms).flat_map(minute_points)
}

/// Writes the minutes of the last `days` that are missing, up to the one that `now_ms` lies in, and says up to which instant
/// there are data now.
///
/// # Errors
/// When the store fails.
pub async fn fill(store: &dyn Backend, now_ms: i64, days: u32) -> Result<i64, BackendError> {
    let end = now_ms.div_euclid(MINUTE) * MINUTE + MINUTE;
    let start = first_missing(store, end - i64::from(days) * DAY, end).await?;
    write(store, start, end).await?;
    Ok(end)
}

/// Writes each new minute as it begins, from `written_to` on, for as long as it is polled. A failure is logged, and its
/// minutes are written with the next.
pub async fn keep_current(store: Arc<dyn Backend>, mut written_to: i64) {
    loop {
        let now = Timestamp::now().as_millisecond();
        if now < written_to {
            tokio::time::sleep(Duration::from_millis(written_to.abs_diff(now).min(MINUTE.unsigned_abs()))).await;
            continue;
        }
        let end = now.div_euclid(MINUTE) * MINUTE + MINUTE;
        match write(store.as_ref(), written_to, end).await {
            Ok(()) => written_to = end,
            Err(error) => {
                tracing::warn!(%error, "demo data were not written");
                tokio::time::sleep(Duration::from_millis(MINUTE.unsigned_abs())).await;
            }
        }
    }
}

async fn write(store: &dyn Backend, from: i64, to: i64) -> Result<(), BackendError> {
    let mut from = from;
    while from < to {
        let end = to.min(from + MINUTES_PER_WRITE * MINUTE);
        let batch: Vec<Point> = points(from, end).collect();
        store.write(&batch).await?;
        from = end;
    }
    Ok(())
}

/// The first minute of the range without visitors.
async fn first_missing(store: &dyn Backend, from: i64, to: i64) -> Result<i64, BackendError> {
    let (step, timezone) = (Step::new(1, StepUnit::Minute), TimeZone::UTC);
    let minutes = usize::try_from((to - from) / MINUTE).unwrap_or(usize::MAX);
    let Ok(axis) = TimeAxis::covering(from, to, step, &timezone, minutes) else { return Ok(from) };
    let visitors = Selection {
        series: "demo.visitors".to_owned(),
        filter: Default::default(),
        kind: Kind::Delta,
        aggregate: Aggregate::Count,
        group_by: Arc::default(),
        mapping: String::new(),
        approximate: false,
        axis: axis.clone(),
        whole: None,
    };
    let limits = SelectLimits { groups: 1, cells: minutes, raw_points: 0 };
    let batch = SelectBatch { selections: vec![visitors], step, timezone, limits };
    let mut frames = store.select(&batch).await?.frames;
    let Some(Ok(frame)) = frames.pop() else { return Ok(from) };
    let Some(group) = frame.groups.first() else { return Ok(from) };
    let missing = group.values.iter().position(|count| count.is_nan());
    Ok(missing.map_or(to, |index| axis.starts()[index]))
}

fn minutes(from: i64, to: i64) -> impl Iterator<Item = i64> {
    let first = -(-from).div_euclid(MINUTE);
    let end = -(-to).div_euclid(MINUTE);
    (first..end).map(|minute| minute * MINUTE)
}

fn minute_points(timestamp: i64) -> Vec<Point> {
    SEGMENTS.iter().enumerate().flat_map(|(index, segment)| segment.points(index as u64, timestamp)).collect()
}

impl Segment {
    fn points(&self, index: u64, timestamp: i64) -> Vec<Point> {
        let dice = |purpose: u64| chance(index * 16 + purpose, timestamp);
        let crowd = crowd(timestamp);
        let visitors = whole(self.visitors * crowd * (0.75 + 0.5 * dice(0)), dice(1));
        let customers = whole(visitors * self.conversion * (0.7 + 0.6 * dice(2)), dice(3));
        // Orders of about 42, to the cent.
        let revenue = (customers * (34.0 + 16.0 * dice(4)) * 100.0).round() / 100.0;
        // A crowd slows the pages down, and some are slow by themselves.
        let load_time = self.load_time * (1.0 + 0.15 * crowd) - 0.22 * (1.0 - dice(5)).ln();
        let mut points = vec![
            self.point("demo.visitors", timestamp, visitors),
            self.point("demo.customers", timestamp, customers),
            self.point("demo.revenue", timestamp, revenue),
            self.point("demo.load_time", timestamp, (load_time * 1000.0).round() / 1000.0),
        ];
        for (purpose, (module, rate)) in (6..).zip(self.clicks) {
            let clicks = whole(visitors * rate, dice(purpose));
            let mut point = self.point("demo.clicks", timestamp, clicks);
            point.tags.insert("module".to_owned(), module.to_owned());
            points.push(point);
        }
        points
    }

    fn point(&self, series: &str, timestamp: i64, value: f64) -> Point {
        let tags = [("experiment", "checkout-button"), ("variation", self.variation), ("platform", self.platform)];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Point { series: series.to_owned(), tags, timestamp, value }
    }
}

/// How many come at this time, of an average minute: most in the evening (UTC), fewer at the weekend.
fn crowd(timestamp: i64) -> f64 {
    let hour = timestamp.rem_euclid(DAY) as f64 / 3_600_000.0;
    let daily = 1.0 + 0.6 * ((hour - 13.0) / 24.0 * std::f64::consts::TAU).sin();
    // 1970-01-01 was a Thursday, the fourth day of its week.
    let weekday = (timestamp.div_euclid(DAY) + 3).rem_euclid(7);
    if weekday >= 5 { daily * 0.72 } else { daily }
}

/// Rounds up as often as the fraction says, so that the mean stays right where numbers are small.
fn whole(expected: f64, chance: f64) -> f64 {
    (expected + chance).floor()
}

/// An even number from 0 to below 1 for a purpose and a minute (splitmix64).
fn chance(purpose: u64, timestamp: i64) -> f64 {
    let minute = timestamp.div_euclid(MINUTE) as u64;
    let mut bits = (minute << 8 | purpose).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::embedded::EmbeddedStore;

    /// A Monday.
    const MONDAY: i64 = 1_767_571_200_000;

    fn total(from: i64, to: i64, series: &str, variation: &str) -> f64 {
        let wanted = |point: &Point| point.series == series && point.tags["variation"] == variation;
        points(from, to).filter(wanted).map(|point| point.value).sum()
    }

    #[test]
    fn the_same_minute_always_has_the_same_points_however_it_is_asked_for() {
        let all: Vec<Point> = points(MONDAY, MONDAY + 10 * MINUTE).collect();
        let parts = points(MONDAY - 1, MONDAY + 1).chain(points(MONDAY + 1, MONDAY + 9 * MINUTE + 1));
        assert_eq!(all, parts.collect::<Vec<_>>());
        assert_eq!(all.len(), 360);
        assert!(all.iter().all(|point| point.value.is_finite() && point.value >= 0.0));
    }

    #[test]
    fn treatment_converts_better_and_weekends_are_quieter() {
        let week = MONDAY + 7 * DAY;
        let rate = |variation| {
            total(MONDAY, week, "demo.customers", variation) / total(MONDAY, week, "demo.visitors", variation)
        };
        assert!((0.10..0.12).contains(&rate("control")), "{}", rate("control"));
        assert!(rate("treatment") / rate("control") > 1.08);
        let day = |start: i64| total(start, start + DAY, "demo.visitors", "control");
        assert!(day(MONDAY + 5 * DAY) < 0.8 * day(MONDAY));
    }

    #[tokio::test]
    async fn what_is_missing_is_filled_up_to_the_current_minute() {
        let store = EmbeddedStore::open_in_memory().unwrap();
        let now = MONDAY + DAY + 30_001;
        let end = MONDAY + DAY + MINUTE;
        assert_eq!(fill(&store, now, 1).await.unwrap(), end);
        assert_eq!(first_missing(&store, end - DAY, end + MINUTE).await.unwrap(), end);
        let last: Vec<Point> = points(end - MINUTE, end).collect();
        assert_eq!(last[0].timestamp, now / MINUTE * MINUTE);
        assert_eq!(fill(&store, now + 3 * MINUTE, 1).await.unwrap(), end + 3 * MINUTE);
        assert_eq!(first_missing(&store, end - DAY, end + 9 * MINUTE).await.unwrap(), end + 3 * MINUTE);
    }
}
