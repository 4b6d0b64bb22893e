//! Points → bodies of `POST /api/v1/datapoints`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::series::{Point, Tags};

/// Points of one body.
const POINTS_PER_BODY: usize = 5_000;

type Datapoints = Vec<(i64, Box<RawValue>)>;

#[derive(Serialize)]
struct Stored<'a> {
    name: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
    datapoints: Datapoints,
}

/// The bodies that store points. Each holds few enough of them to be taken at once.
pub fn bodies(points: &[Point]) -> impl Iterator<Item = Vec<u8>> {
    points.chunks(POINTS_PER_BODY).map(body)
}

fn body(points: &[Point]) -> Vec<u8> {
    let mut series: BTreeMap<(&str, &Tags), Datapoints> = BTreeMap::new();
    for point in points {
        let datapoints = series.entry((&point.series, &point.tags)).or_default();
        datapoints.extend(double(point.value).map(|value| (point.timestamp, value)));
    }
    let stored: Vec<Stored<'_>> = series
        .into_iter()
        .map(|((name, tags), datapoints)| Stored { name, tags: stored_tags(tags), datapoints })
        .collect();
    // Maps with text keys, numbers and texts always serialize.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// A series must have a tag.
fn stored_tags(tags: &Tags) -> BTreeMap<&str, &str> {
    if tags.is_empty() {
        return BTreeMap::from([("_untagged", "true")]);
    }
    tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A number with a decimal point: KairosDB takes one without for an integer, of which `1e300` and `1e-7` are 0.
fn double(value: f64) -> Option<Box<RawValue>> {
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = write!(text, "{value:?}");
    if !text.contains('.')
        && let Some(exponent) = text.find('e')
    {
        text.insert_str(exponent, ".0");
    }
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_decimal_point_and_reads_back_as_itself() {
        for value in [0.0, -0.0, 1.0, 1e300, 1e-7, 1.5e-300, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, 123456789.0] {
            let text = double(value).unwrap();
            assert!(text.get().contains('.'), "{text}");
            assert_eq!(text.get().parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
