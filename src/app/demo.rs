//! The demo's data: a simulated storefront experiment, a pure function of the minute.

use std::time::Duration;

use crate::backend::embedded::EmbeddedStore;
use crate::backend::{Backend, BackendError};
use crate::query::Clock;
use crate::series::{Point, Tags};

/// How many days before now are simulated.
pub const DAYS: i64 = 3;
const MINUTE: i64 = 60_000;

/// A number in [0, 1) from a seed (splitmix64's finaliser).
fn noise(seed: u64) -> f64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// The points of one minute.
fn minute(timestamp: i64) -> Vec<Point> {
    let hour = (timestamp / 3_600_000 % 24) as f64;
    let traffic = 30.0 + 20.0 * ((hour - 8.0) / 24.0 * std::f64::consts::TAU).sin();
    let mut points = Vec::new();
    for (index, (variation, conversion)) in [("control", 0.10), ("treatment", 0.12)].into_iter().enumerate() {
        let random = |salt: u64| noise((timestamp / MINUTE) as u64 * 64 + salt * 2 + index as u64);
        let visitors = (traffic * (0.7 + 0.6 * random(1))).round();
        let customers = (visitors * conversion * (0.5 + random(2))).round();
        let values = [
            ("demo.visitors", visitors),
            ("demo.customers", customers),
            ("demo.revenue", (customers * (2_000.0 + 3_000.0 * random(3))).round() / 100.0),
            ("demo.load_time", (0.4 + 0.5 * random(4) + 0.002 * visitors) * 1.0),
        ];
        let tags = Tags::from([("variation".to_owned(), variation.to_owned())]);
        points.extend(values.into_iter().map(|(series, value)| Point {
            series: series.to_owned(),
            tags: tags.clone(),
            timestamp,
            value,
        }));
    }
    points
}

/// Simulates the minutes of the last `days` up to now. Writing them again changes nothing.
///
/// # Errors
/// When the store fails.
pub async fn fill(store: &EmbeddedStore, now: i64, days: i64) -> Result<(), BackendError> {
    let last = now / MINUTE;
    let points: Vec<Point> = (last - days * 1_440..=last).flat_map(|index| minute(index * MINUTE)).collect();
    store.write(&points).await
}

/// Adds each minute as it begins.
pub async fn keep_up(store: EmbeddedStore, clock: Clock) {
    let mut ticks = tokio::time::interval(Duration::from_secs(15));
    loop {
        ticks.tick().await;
        if let Err(error) = store.write(&minute(clock() / MINUTE * MINUTE)).await {
            tracing::error!(%error, "the demo's data could not be written");
        }
    }
}
