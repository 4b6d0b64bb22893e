//! Which values a tag has: queries that count each stored series' points within the range.
//!
//! The lists of label values that these servers keep know only blocks of hours or weeks. Counting knows the points, and sends
//! few numbers for each stored series. A long range is counted by windows of a day: M3DB's time for one window grows with the
//! square of its points (22 days of minutes: 23 s in one window, 6 ms in 22). It takes whole seconds for windows, so that what
//! is left at the ends is counted by itself.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::Dialect;
use super::message::{Matcher, MatcherKind};
use super::request::Source;

/// Points of longer ranges are counted by windows.
const WINDOW: i64 = 86_400_000;
/// Servers give at most 11,000 windows of a series.
const MAX_WINDOWS: i64 = 10_000;
const SECOND: i64 = 1000;

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// Where it is asked.
    pub path: &'static str,
    /// What is asked: names and values of a form.
    pub form: Vec<(&'static str, String)>,
}

/// The requests that together count the points of a range, both of whose ends belong to it; none where nothing can be there.
pub fn queries(dialect: &Dialect, source: &Source, range: &Range<i64>) -> Vec<Query> {
    let from = range.start.max(dialect.instants.start);
    let last = range.end.min(dialect.instants.end) - 1;
    if source.series.is_empty() || from > last {
        return Vec::new();
    }
    let matchers: Vec<String> = source.matchers(dialect).iter().filter_map(written).collect();
    // Both ends of what it looks back over belong to it, and it takes no length of nothing.
    let count = |window: i64| format!("count_over_time({{{}}}[{}ms])", matchers.join(","), window.max(1));
    let once = |from: i64, last: i64| Query {
        path: "/api/v1/query",
        form: vec![("query", count(last - from)), ("time", seconds(last))],
    };
    if last - from <= WINDOW {
        return vec![once(from, last)];
    }
    let (first, end) = (from + (-from).rem_euclid(SECOND), last - last.rem_euclid(SECOND));
    let length = end - first;
    let windows = (length + WINDOW - 1).div_euclid(WINDOW).clamp(1, MAX_WINDOWS);
    let step = length / windows / SECOND * SECOND;
    // The last of them ends where the range does; each is somewhat longer than the step where that is no part of the whole.
    let window = length - step * (windows - 1);
    let mut queries = vec![Query {
        path: "/api/v1/query_range",
        form: vec![
            ("query", count(window)),
            ("start", seconds(first + window)),
            ("end", seconds(end)),
            ("step", seconds(step)),
        ],
    }];
    queries.extend((from < first).then(|| once(from, first)));
    queries.extend((end < last).then(|| once(end, last)));
    queries
}

/// Milliseconds as seconds, exactly.
pub fn seconds(ms: i64) -> String {
    let (whole, rest) = (ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000);
    let sign = if ms < 0 { "-" } else { "" };
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:03}") }
}

/// A matcher in the language; a label that it has no word for is left out, and looked at in the answer.
fn written(matcher: &Matcher) -> Option<String> {
    let bears = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_word = matcher.name.chars().all(bears) && !matcher.name.starts_with(|c: char| c.is_ascii_digit());
    let sign = if matcher.kind == i32::from(MatcherKind::Equal) { "=" } else { "=~" };
    (is_word && !matcher.name.is_empty()).then(|| format!("{}{sign}{}", matcher.name, quoted(&matcher.value)))
}

/// A text between quotes, which no character of it can end.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    metric: BTreeMap<String, String>,
    /// Of the range.
    value: Option<(f64, String)>,
    /// Of its windows.
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// The values of a label in the answer to one of [`queries`]. The labels of a count are those of the series, without the name.
///
/// # Errors
/// Bytes that are no such answer.
pub fn values(body: &[u8], source: &Source, label: &str) -> Result<Vec<String>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))?;
    if let Some(warning) = answer.warnings.first() {
        return Err(format!("its answer is not whole: {warning}"));
    }
    let wanted = |counted: &Counted| {
        let value = |name: &str| counted.metric.get(name).map_or("", String::as_str);
        let counts = counted.value.iter().chain(&counted.values);
        let has_points = counts.filter_map(|(_, count)| count.parse().ok()).any(|count: f64| count > 0.0);
        has_points && source.filter.iter().all(|(name, any)| any.iter().any(|v| v == value(name)))
    };
    Ok(answer.data.result.into_iter().filter(wanted).filter_map(|mut counted| counted.metric.remove(label)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the windows of the requests cover, in milliseconds.
    fn covered(queries: &[Query]) -> Vec<(i64, i64)> {
        let ms = |text: &str| (text.parse::<f64>().unwrap() * 1000.0).round() as i64;
        let of = |query: &Query| {
            let field =
                |name: &str| query.form.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str());
            let window =
                field("query").and_then(|text| text.split(['[', 'm']).rev().find_map(|part| part.parse().ok()));
            let window: i64 = window.unwrap();
            match (field("start"), field("end"), field("step")) {
                (Some(start), Some(end), Some(step)) => {
                    let ends = (ms(start)..=ms(end)).step_by(ms(step) as usize);
                    ends.map(|end| (end - window, end)).collect::<Vec<_>>()
                }
                _ => vec![(ms(field("time").unwrap()) - window, ms(field("time").unwrap()))],
            }
        };
        let mut all: Vec<(i64, i64)> = queries.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn windows_cover_the_range_and_nothing_else() {
        let dialect = super::super::tests::dialect(super::super::Names::AsTheyAre);
        let dialect = Dialect { instants: i64::MIN / 1_000_000..dialect.instants.end, ..dialect };
        let source = Source::new(&dialect, "s", &BTreeMap::new()).unwrap();
        let now = 1_795_996_800_123;
        for (from, to) in [
            (now - 5, now),
            (now - WINDOW, now),
            (now - WINDOW - 2, now),
            (now - 22 * WINDOW + 77, now + 500),
            (now / 1000 * 1000 - 30 * WINDOW, now / 1000 * 1000),
            (-400 * WINDOW, now),
            (-1_500, -499),
            (-3 * WINDOW - 250, -1_250),
            (0, 9_000_000_000_000),
        ] {
            let queries = queries(&dialect, &source, &(from..to));
            assert!(queries.len() <= 3, "{queries:?}");
            let windows = covered(&queries);
            assert!(windows.len() <= MAX_WINDOWS as usize + 2);
            assert_eq!(
                (windows[0].0, windows.iter().map(|window| window.1).max()),
                (from, Some(to - 1)),
                "{queries:?}"
            );
            assert!(windows.windows(2).all(|pair| pair[1].0 <= pair[0].1), "{from} to {to}: a gap");
        }
        assert!(queries(&dialect, &source, &(5..5)).is_empty());
    }
}
