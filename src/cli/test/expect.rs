//! What a test expects of a formula, as it is written.
//!
//! Either its series (`{ "variation=control": [0.03, null] }`), its error (`{ error: unknown_formula }`), or any of `series`,
//! `summary`, `undefined` and `warnings`, each under its name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The tags of a series, by name.
pub type SeriesTags = Vec<(String, String)>;
/// Something for each series.
pub type BySeries<T> = BTreeMap<SeriesTags, T>;

/// What a formula must come to.
#[derive(Debug, PartialEq)]
pub enum Expected {
    /// Only what is there is compared.
    Answer(ExpectedAnswer),
    /// The code of its error.
    Error(String),
}

/// The parts of an answer that a test speaks of.
#[derive(Debug, PartialEq, Default)]
pub struct ExpectedAnswer {
    pub series: Option<BySeries<Vec<Cell>>>,
    pub summary: Option<BySeries<ExpectedSummary>>,
    /// Start and length of each run.
    pub undefined: Option<BySeries<Vec<[usize; 2]>>>,
    /// The codes, sorted, each once.
    pub warnings: Option<Vec<String>>,
}

/// An expected value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    Value(f64),
    /// Missing or undefined.
    Null,
    /// A null that came from a result that was not finite.
    Undefined,
}

/// An expected summary.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedSummary {
    Value(f64),
    /// Null for whatever reason.
    Null,
    /// Null for this reason.
    Reason(String),
}

const SHAPE: &str = "write { \"tag=value\": [numbers, null or undefined] }, { error: code }, or any of series, summary, \
                     undefined, warnings";
const PARTS: [&str; 4] = ["series", "summary", "undefined", "warnings"];

/// Reads one.
///
/// # Errors
/// What is wrong with it.
pub fn read(value: &Value) -> Result<Expected, String> {
    let Value::Object(fields) = value else { return Err(SHAPE.to_owned()) };
    if let (1, Some(Value::String(code))) = (fields.len(), fields.get("error")) {
        return Ok(Expected::Error(code.clone()));
    }
    let mut answer = ExpectedAnswer::default();
    if is_in_parts(fields) {
        for (part, value) in fields {
            match part.as_str() {
                "series" => answer.series = Some(by_series(value, cells)?),
                "summary" => answer.summary = Some(by_series(value, summary)?),
                "undefined" => answer.undefined = Some(by_series(value, runs)?),
                _ => answer.warnings = Some(codes(value)?),
            }
        }
    } else {
        answer.series = Some(by_series(value, cells)?);
    }
    Ok(Expected::Answer(answer))
}

/// Whether it is written part by part: names of tags are followed by `=`, so that no series is taken for one.
pub fn is_in_parts(fields: &Map<String, Value>) -> bool {
    !fields.is_empty() && fields.keys().all(|key| PARTS.contains(&key.as_str()))
}

fn by_series<T>(value: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Result<BySeries<T>, String> {
    let Value::Object(fields) = value else { return Err(SHAPE.to_owned()) };
    let mut series = BySeries::new();
    for (key, value) in fields {
        if series.insert(tags(key)?, read(value)?).is_some() {
            return Err(format!("the series `{key}` is there twice"));
        }
    }
    Ok(series)
}

fn cells(value: &Value) -> Result<Vec<Cell>, String> {
    let cell = |value: &Value| match value {
        Value::Null => Ok(Cell::Null),
        Value::String(text) if text == "undefined" => Ok(Cell::Undefined),
        value => value.as_f64().map(Cell::Value).ok_or_else(|| SHAPE.to_owned()),
    };
    value.as_array().ok_or_else(|| SHAPE.to_owned())?.iter().map(cell).collect()
}

fn summary(value: &Value) -> Result<ExpectedSummary, String> {
    match value {
        Value::Null => Ok(ExpectedSummary::Null),
        Value::String(reason) => Ok(ExpectedSummary::Reason(reason.clone())),
        value => value
            .as_f64()
            .map(ExpectedSummary::Value)
            .ok_or_else(|| "a summary is a number, null, or the reason why it is null".to_owned()),
    }
}

fn runs(value: &Value) -> Result<Vec<[usize; 2]>, String> {
    serde_json::from_value(value.clone()).map_err(|_| "undefined is a list of [start, length]".to_owned())
}

fn codes(value: &Value) -> Result<Vec<String>, String> {
    let mut codes: Vec<String> = serde_json::from_value(value.clone())
        .map_err(|_| "warnings is a list of codes, such as [undefined]".to_owned())?;
    codes.sort();
    codes.dedup();
    Ok(codes)
}

/// `a=1,b=2` in any order; `` or `{}` for no tags. A part without `=` belongs to the value before it; a value in quotes, as
/// JSON has them, may be anything: `a="1,b=2"`.
pub fn tags(key: &str) -> Result<SeriesTags, String> {
    let mut tags: SeriesTags = Vec::new();
    let inner = key.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(key);
    if inner.trim().is_empty() {
        return Ok(tags);
    }
    let mut rest = Some(inner);
    while let Some(text) = rest {
        if let Some((name, value, left)) = quoted(text) {
            tags.push((name.to_owned(), value));
            rest = left;
            continue;
        }
        let (part, left) = text.split_once(',').map_or((text, None), |(part, left)| (part, Some(left)));
        rest = left;
        match (part.split_once('='), tags.last_mut()) {
            (Some((name, value)), _) => tags.push((name.trim().to_owned(), value.trim().to_owned())),
            (None, Some((_, value))) => value.push_str(&format!(",{part}")),
            (None, None) => return Err(format!("`{key}` names no tags: write tag=value,tag=value")),
        }
    }
    tags.sort();
    Ok(tags)
}

/// The name and the value of a first part `name="value"`, and what follows its comma.
fn quoted(text: &str) -> Option<(&str, String, Option<&str>)> {
    let (name, text) = text.split_once('=').filter(|(name, _)| !name.contains(','))?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let value = values.next()?.ok()?;
    let left = text[values.byte_offset()..].trim_start();
    let left = if left.is_empty() { None } else { Some(left.strip_prefix(',')?) };
    Some((name.trim(), value, left))
}

/// Tags as [`tags`] reads them.
pub fn key(tags: &SeriesTags) -> String {
    let part = |(name, value): &(String, String)| match value.contains([',', '"']) || value.trim() != value {
        true => format!("{name}={}", Value::from(value.as_str())),
        false => format!("{name}={value}"),
    };
    tags.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_in_any_order() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(tags("b=2,a=1").unwrap(), [pair("a", "1"), pair("b", "2")]);
        assert_eq!(tags("{a=x=y,z}").unwrap(), [pair("a", "x=y,z")]);
        let quoted = [pair("a", "x,b=1"), pair("b", " \"q\" "), pair("c", "\"open")];
        assert_eq!(tags(r#"b = " \"q\" ", a="x,b=1",c="open"#).unwrap(), quoted);
        for hard in [&quoted[..2], &[pair("a", "x=y"), pair("z", "")]] {
            assert_eq!(tags(&key(&hard.to_vec())).unwrap(), hard);
        }
        assert!(tags("").unwrap().is_empty() && tags("{}").unwrap().is_empty());
        assert!(tags("a").is_err());
    }

    #[test]
    fn every_form() {
        assert_eq!(read(&json!({ "error": "x" })), Ok(Expected::Error("x".to_owned())));
        let short = read(&json!({ "": [1, null, "undefined"] })).unwrap();
        let long = read(&json!({ "series": { "{}": [1, null, "undefined"] } })).unwrap();
        assert_eq!(short, long);
        let parts = json!({ "summary": { "": "no_data" }, "undefined": { "": [[0, 2]] }, "warnings": ["b", "a", "b"] });
        let Expected::Answer(answer) = read(&parts).unwrap() else { panic!("an error") };
        assert_eq!(answer.warnings.unwrap(), ["a", "b"]);
        assert_eq!(answer.undefined.unwrap()[&vec![]], [[0, 2]]);
        // A tag may be named as a part is.
        assert!(read(&json!({ "series=a": [1] })).is_ok());
        for wrong in [
            json!([1]),
            json!(1),
            json!({ "a=1": 1 }),
            json!({ "a=1": ["x"] }),
            json!({ "series": [1] }),
            json!({ "summary": { "": [1] } }),
            json!({ "undefined": { "": [[1]] } }),
            json!({ "warnings": "a" }),
            json!({ "error": "x", "a=1": [1] }),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
