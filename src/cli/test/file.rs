//! A `*.test.yaml` as it is written, and checked.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Spanned;

use super::expect::{self, Expected};
use super::values;
use crate::config::yaml;
use crate::plan::time::parse_time;
use crate::query::Request;
use crate::series::{Point, Step, Tags};

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    now: Option<Spanned<String>>,
    series: Vec<WrittenSeries>,
    tests: Vec<WrittenTest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSeries {
    series: String,
    #[serde(default)]
    tags: Tags,
    start: Spanned<String>,
    step: Spanned<String>,
    values: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTest {
    name: Spanned<String>,
    request: Spanned<Value>,
    expect: Spanned<BTreeMap<String, Value>>,
    tolerance: Option<Spanned<f64>>,
    now: Option<Spanned<String>>,
}

/// A file's points and tests.
#[derive(Debug)]
pub struct TestFile {
    pub points: Vec<Point>,
    pub tests: Vec<Test>,
}

/// One request and what it must come to.
#[derive(Debug)]
pub struct Test {
    pub name: String,
    /// In the file, from 1.
    pub line: u64,
    /// Its place in the list, from 0.
    pub index: usize,
    pub request: Request,
    pub expect: BTreeMap<String, Expected>,
    pub tolerance: f64,
    /// The clock; by default the end of the request's range.
    pub now: Option<i64>,
}

const DEFAULT_TOLERANCE: f64 = 1e-9;

/// Reads a file. Every fault has its place.
///
/// # Errors
/// What is wrong, a line each.
pub fn read(path: &str, bytes: &[u8]) -> Result<TestFile, Vec<String>> {
    let written: Written = yaml::parse(bytes).map_err(|fault| vec![fault.at(path)])?;
    let mut reader = Reader { path, faults: Vec::new() };
    let now = reader.now(written.now.as_ref());
    let points = written.series.iter().flat_map(|series| reader.points(series)).collect();
    let tests = written.tests.iter().enumerate().filter_map(|(index, test)| reader.test(index, test, now)).collect();
    if reader.faults.is_empty() { Ok(TestFile { points, tests }) } else { Err(reader.faults) }
}

struct Reader<'a> {
    path: &'a str,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault<T>(&mut self, at: &Spanned<T>, fault: impl std::fmt::Display) {
        let place = at.referenced;
        self.faults.push(format!("{}:{}:{}: {fault}", self.path, place.line(), place.column()));
    }

    fn now(&mut self, text: Option<&Spanned<String>>) -> Option<i64> {
        self.time(text?)
    }

    /// A time that does not depend on the clock.
    fn time(&mut self, text: &Spanned<String>) -> Option<i64> {
        let relative = text.value.contains("now");
        let time = match relative {
            true => Err("must be RFC 3339 or epoch milliseconds".to_owned()),
            false => parse_time(&Value::String(text.value.clone()), 0, &TimeZone::UTC),
        };
        time.map_err(|fault| self.fault(text, fault)).ok()
    }

    fn points(&mut self, written: &WrittenSeries) -> Vec<Point> {
        let start = self.time(&written.start);
        let step = written.step.value.parse::<Step>().map_err(|fault| self.fault(&written.step, fault)).ok();
        let values = values::parse(&written.values.value).map_err(|fault| self.fault(&written.values, fault)).ok();
        let (Some(start), Some(step), Some(values)) = (start, step, values) else { return Vec::new() };
        let mut timestamp = start;
        let mut points = Vec::new();
        let tags: Tags = written.tags.clone().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        for value in values {
            if let Some(value) = value {
                points.push(Point { series: written.series.clone(), tags: tags.clone(), timestamp, value });
            }
            timestamp = step.next(timestamp, &TimeZone::UTC);
        }
        points
    }

    fn test(&mut self, index: usize, written: &WrittenTest, now: Option<i64>) -> Option<Test> {
        let before = self.faults.len();
        let request = match Request::from_json(&written.request.value) {
            Ok(request) => request,
            Err(faults) => {
                for fault in faults {
                    self.fault(&written.request, format!("request{}: {}", fault.pointer, fault.detail));
                }
                Request::default()
            }
        };
        let mut expect = BTreeMap::new();
        for (formula, value) in &written.expect.value {
            match expect::read(value) {
                Ok(expected) => drop(expect.insert(formula.clone(), expected)),
                Err(fault) => self.fault(&written.expect, format!("{formula}: {fault}")),
            }
        }
        let tolerance = written.tolerance.as_ref().map_or(DEFAULT_TOLERANCE, |tolerance| tolerance.value);
        if let Some(written) = written.tolerance.as_ref().filter(|_| !(tolerance.is_finite() && tolerance >= 0.0)) {
            self.fault(written, "must be a number from 0");
        }
        let now = written.now.as_ref().map_or(now, |text| self.time(text));
        let test = Test {
            name: written.name.value.clone(),
            line: written.name.referenced.line(),
            index,
            request,
            expect,
            tolerance,
            now,
        };
        (self.faults.len() == before).then_some(test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_their_places() {
        let text = "series:
  - { series: a, start: yesterday, step: 1y, values: \"1 b\" }
tests:
  - name: t
    request: { formulas: [], steps: 1m }
    expect: { f: [1], g: { \"x\": [1] } }
    tolerance: -1
";
        insta::assert_snapshot!(read("shop.test.yaml", text.as_bytes()).unwrap_err().join("\n"));
        let unknown = read("shop.test.yaml", b"series: []\ntest: []\n").unwrap_err();
        assert!(unknown[0].starts_with("shop.test.yaml:2:1: unknown field `test`"), "{unknown:?}");
    }
}
