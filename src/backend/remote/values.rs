//! Which values a tag has: an instant query that counts each stored series' points within the range.
//!
//! The lists of label values that these servers keep know only blocks of hours or weeks. Counting knows the points, and sends
//! one number for each stored series.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::Dialect;
use super::message::{Matcher, MatcherKind};
use super::request::Source;

/// Where it is asked.
pub const PATH: &str = "/api/v1/query";

/// The query and its instant in milliseconds; `None` where nothing can be there.
pub fn query(dialect: &Dialect, source: &Source, range: &Range<i64>) -> Option<(String, i64)> {
    let from = range.start.max(dialect.instants.start);
    let last = range.end.min(dialect.instants.end) - 1;
    if source.series.is_empty() || from > last {
        return None;
    }
    let matchers: Vec<String> = source.matchers(dialect).iter().filter_map(written).collect();
    // Both ends of what it looks back over belong to it, and it takes no length of nothing.
    Some((format!("count_over_time({{{}}}[{}ms])", matchers.join(","), (last - from).max(1)), last))
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
    value: (f64, String),
}

/// The values of a label in the answer to [`query`]. The labels of a count are those of the series, without the name.
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
        let count: f64 = counted.value.1.parse().unwrap_or(0.0);
        count > 0.0 && source.filter.iter().all(|(name, any)| any.iter().any(|v| v == value(name)))
    };
    Ok(answer.data.result.into_iter().filter(wanted).filter_map(|mut counted| counted.metric.remove(label)).collect())
}
