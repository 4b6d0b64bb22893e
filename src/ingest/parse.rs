//! Lines → points. A line is a record: a text with a line break in it could only be a name or a tag with a control character,
//! which are refused, and so a quote that is never closed spoils its own line only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use jiff::Timestamp;
use serde::Deserialize;

use super::Format;
use super::lines::Lines;
use crate::series::{Point, Tags};

/// Points of a file, one after the other.
pub(super) struct PointReader<R: Read> {
    lines: Lines<R>,
    format: Option<Format>,
    header: Option<Header>,
    ended: bool,
}

/// A point, or why the line is none.
pub(super) type Parsed = Result<Point, String>;

impl<R: Read> PointReader<R> {
    pub(super) fn new(input: R, format: Option<Format>) -> PointReader<R> {
        PointReader { lines: Lines::new(input), format, header: None, ended: false }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// The next line's number and what it holds. A header that cannot be used ends the file.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Parsed)>> {
        while !self.ended {
            let Some((number, text)) = self.lines.next()? else { return Ok(None) };
            let format = *self.format.get_or_insert_with(|| detect(text.as_deref().unwrap_or_default()));
            let parsed = match (format, &self.header, text) {
                (Format::Ndjson, _, text) => text.and_then(from_json),
                (Format::Csv, Some(header), text) => text.and_then(|text| header.point(text)),
                (Format::Csv, None, text) => match text.and_then(Header::parse) {
                    Ok(header) => {
                        self.header = Some(header);
                        continue;
                    }
                    Err(reason) => {
                        self.ended = true;
                        Err(reason)
                    }
                },
            };
            return Ok(Some((number, parsed)));
        }
        Ok(None)
    }
}

fn detect(first_line: &str) -> Format {
    if first_line.trim_start().starts_with('{') { Format::Ndjson } else { Format::Csv }
}

/// What the columns of a CSV file are.
struct Header {
    series: usize,
    timestamp: usize,
    value: usize,
    /// The column and the name of each tag.
    tags: Vec<(usize, String)>,
    columns: usize,
}

impl Header {
    fn parse(text: &str) -> Result<Header, String> {
        let columns = fields(text)?;
        let place = |name: &str| {
            columns.iter().position(|column| column == name).ok_or_else(|| {
                format!(
                    "the header lacks the column `{name}`: write `series,timestamp,value` and the names of the tags"
                )
            })
        };
        // First, for a file without a header is the fault that is met most.
        let (series, timestamp, value) = (place("series")?, place("timestamp")?, place("value")?);
        for (index, name) in columns.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("column {} of the header has no name", index + 1));
            }
            if columns[..index].contains(name) {
                return Err(format!("the header has the column `{name}` twice"));
            }
            check_text("a column's name", name)?;
        }
        let tags = columns.iter().enumerate().filter(|(index, _)| ![series, timestamp, value].contains(index));
        let tags = tags.map(|(index, name)| (index, name.to_string())).collect();
        Ok(Header { series, timestamp, value, tags, columns: columns.len() })
    }

    fn point(&self, text: &str) -> Parsed {
        let cells = fields(text)?;
        if cells.len() != self.columns {
            return Err(format!("the line has {} cells and the header {}", cells.len(), self.columns));
        }
        let timestamp = timestamp(&cells[self.timestamp])?;
        let value = number(&cells[self.value])?;
        let tags = self.tags.iter().map(|(index, name)| (name.clone(), cells[*index].to_string())).collect();
        point(cells[self.series].to_string(), timestamp, value, tags)
    }
}

/// The cells of a line; a quoted one may hold commas, and quotes written twice.
fn fields(text: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (cell, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (Cow::Borrowed(cell), after)
            }
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(cells),
            None => return Err("a quote is followed by something else than a comma".to_owned()),
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut end = 0;
    loop {
        end += quoted[end..].find('"').ok_or("a quote is not closed in its line")?;
        if !quoted[end + 1..].starts_with('"') {
            break;
        }
        end += 2;
    }
    let cell = &quoted[..end];
    let cell = if cell.contains('"') { Cow::Owned(cell.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) };
    Ok((cell, &quoted[end + 1..]))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonPoint {
    series: String,
    timestamp: JsonTime,
    value: f64,
    #[serde(default)]
    tags: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a timestamp is a whole number of milliseconds or a text as of RFC 3339")]
enum JsonTime {
    Millis(i64),
    Text(String),
}

fn from_json(text: &str) -> Parsed {
    let line: JsonPoint =
        serde_json::from_str(text).map_err(|e| e.to_string().replace(" at line 1 column", ", at column"))?;
    let at = match line.timestamp {
        JsonTime::Millis(millis) => in_range(millis)?,
        JsonTime::Text(text) => timestamp(&text)?,
    };
    let tags = line.tags.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    point(line.series, at, line.value, tags.collect())
}

/// Checks what both forms have in common. An empty value is no tag.
fn point(series: String, timestamp: i64, value: f64, mut tags: Tags) -> Parsed {
    if series.is_empty() {
        return Err("the series has no name".to_owned());
    }
    check_text("the series' name", &series)?;
    tags.retain(|_, value| !value.is_empty());
    for (name, value) in &tags {
        if name.is_empty() {
            return Err("a tag has no name".to_owned());
        }
        check_text("a tag's name", name)?;
        check_text("a tag's value", value)?;
    }
    Ok(Point { series, tags, timestamp, value })
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    match text.chars().find(|character| character.is_control()) {
        Some(control) => {
            Err(format!("{what} `{}` has the control character U+{:04X} in it", shorten(text), control as u32))
        }
        None => Ok(()),
    }
}

/// A finite number. JSON has no others.
fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("the value `{}` is not finite", shorten(text))),
        Err(_) => Err(format!("the value `{}` is not a number", shorten(text))),
    }
}

/// Epoch milliseconds or RFC 3339.
fn timestamp(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    if let Ok(millis) = trimmed.parse::<i64>() {
        return in_range(millis);
    }
    trimmed.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| {
        format!(
            "the timestamp `{}` is neither epoch milliseconds nor RFC 3339, such as 2026-01-05T00:00:00Z",
            shorten(text)
        )
    })
}

/// Only instants that the calendar knows.
pub(super) fn in_range(millis: i64) -> Result<i64, String> {
    let known = Timestamp::from_millisecond(millis).is_ok();
    known.then_some(millis).ok_or_else(|| format!("the timestamp {millis} is out of range"))
}

fn shorten(text: &str) -> String {
    text.chars().take(60).map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Parsed)> {
        let mut reader = PointReader::new(text.as_bytes(), None);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn both_forms_hold_the_same_points() {
        let csv = "series,timestamp,value,platform,say\na.b,1483364520000,2.5,\"web, \"\"old\"\"\",\na.b,2017-01-02T13:42:00+00:00,-1e3,,é\n";
        let json = r#"{"series":"a.b","timestamp":1483364520000,"value":2.5,"tags":{"platform":"web, \"old\"","say":""}}
            {"series":"a.b","timestamp":"2017-01-02T14:42:00+01:00","value":-1000,"tags":{"say":"é","platform":null}}"#;
        let point =
            |value, pairs| Ok(Point { series: "a.b".into(), tags: tags(pairs), timestamp: 1_483_364_520_000, value });
        let expected = [point(2.5, &[("platform", "web, \"old\"")]), point(-1000.0, &[("say", "é")])];
        for text in [csv, json] {
            assert_eq!(read(text).into_iter().map(|(_, parsed)| parsed).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn every_bad_line_is_named_and_the_good_ones_are_read() {
        let text = include_str!("../../tests/testdata/load/bad.csv");
        let found: Vec<String> = read(text)
            .into_iter()
            .map(|(line, parsed)| {
                format!("{line}: {}", parsed.map_or_else(|reason| reason, |point| format!("ok {}", point.value)))
            })
            .collect();
        assert_eq!(found.join("\n"), include_str!("../../tests/testdata/load/bad.csv.txt").trim_end());
    }

    #[test]
    fn bad_json_lines_say_why() {
        let good = r#"{"series":"a","timestamp":1,"value":1}"#;
        for (line, reason) in [
            ("{", "EOF while parsing an object, at column 1"),
            (r#"{"series":"a","timestamp":1,"value":"x"}"#, "invalid type: string \"x\", expected f64, at column 39"),
            (r#"{"series":"a","timestamp":1,"value":1e999}"#, "number out of range, at column 41"),
            (r#"{"series":"a","timestamp":1}"#, "missing field `value`, at column 28"),
            (
                r#"{"series":"a","timestamp":1,"value":1,"x":1}"#,
                "unknown field `x`, expected one of `series`, `timestamp`, `value`, `tags`, at column 41",
            ),
            (
                r#"{"series":"a","timestamp":1.5,"value":1}"#,
                "a timestamp is a whole number of milliseconds or a text as of RFC 3339, at column 29",
            ),
            (
                r#"{"series":"a\u0000","timestamp":1,"value":1}"#,
                "the series' name `a\u{fffd}` has the control character U+0000 in it",
            ),
            (
                r#"{"series":"a","timestamp":9000000000000000000,"value":1}"#,
                "the timestamp 9000000000000000000 is out of range",
            ),
        ] {
            let found = read(&format!("{good}\n{line}\n{good}"));
            assert!(found[0].1.is_ok() && found[2].1.is_ok());
            assert_eq!(found[1].1.as_ref().unwrap_err(), reason, "{line}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_used_ends_the_file() {
        for (text, reason) in [
            ("series,value\na,1", "the header lacks the column `timestamp`"),
            ("series,timestamp,value,a,a\n", "twice"),
            ("series,timestamp,value,\n", "column 4 of the header has no name"),
            ("\u{1},series,timestamp,value\na", "control character"),
        ] {
            let found = read(text);
            assert_eq!(found.len(), 1);
            assert!(found[0].1.as_ref().unwrap_err().contains(reason), "{found:?}");
        }
    }
}
