//! A `*.test.yaml` as it is written, and checked.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Spanned;

use super::expect::{self, Expected};
use super::values;
use crate::catalog::unreadable_file;
use crate::config::yaml::{self, YamlFault};
use crate::diagnostic::{Diagnostic, Location, nearest, shorten};
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
    series: Spanned<String>,
    #[serde(default)]
    tags: Tags,
    start: Spanned<String>,
    step: Spanned<String>,
    values: Spanned<String>,
}

/// Its fields are read one by one, so that what is wrong with one test leaves the others alone.
type WrittenTest = Spanned<BTreeMap<String, Spanned<Value>>>;

const FIELDS: [&str; 5] = ["name", "request", "expect", "tolerance", "now"];

/// A file's points and tests.
#[derive(Debug)]
pub struct TestFile {
    pub points: Vec<Point>,
    pub tests: Vec<Result<Test, BrokenTest>>,
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

/// A test that cannot be run.
#[derive(Debug)]
pub struct BrokenTest {
    /// Its name, else its number.
    pub name: String,
    pub line: u64,
    pub faults: Vec<Diagnostic>,
}

impl TestFile {
    /// The tests that can be run.
    pub fn sound(&self) -> impl Iterator<Item = &Test> {
        self.tests.iter().filter_map(|test| test.as_ref().ok())
    }
}

const DEFAULT_TOLERANCE: f64 = 1e-9;

/// Reads a file. Every fault has its place.
///
/// # Errors
/// What is wrong with the file as a whole: with its form, its clock or its points, which all its tests share.
pub fn read(path: &str, content: &Result<Vec<u8>, String>) -> Result<TestFile, Vec<Diagnostic>> {
    let hint = "see the section on tests of docs/KEYSPACES.md for the form of a test file";
    let whole = |fault: YamlFault| {
        let (line, column) = fault.place.unwrap_or((1, 1));
        vec![error(path, line, column, fault.message, hint)]
    };
    let bytes = content.as_ref().map_err(|reason| vec![unreadable_file(path, reason)])?;
    let written: Written = yaml::parse(bytes).map_err(whole)?;
    let mut reader = Reader { path, faults: Vec::new() };
    let now = written.now.as_ref().and_then(|text| reader.time(&text.value, text));
    let points = written.series.iter().flat_map(|series| reader.points(series)).collect();
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let tests = written.tests.iter().enumerate().map(|(index, test)| reader.test(index, test, now)).collect();
    Ok(TestFile { points, tests })
}

fn error(path: &str, line: u64, column: u64, message: String, hint: &str) -> Diagnostic {
    let location = Location { file: path.to_owned(), line: line as usize, column: column as usize };
    Diagnostic::error("invalid_test", location, message).with_hint(hint)
}

struct Reader<'a> {
    path: &'a str,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault<T>(&mut self, at: &Spanned<T>, fault: impl std::fmt::Display, hint: &str) {
        let place = at.referenced;
        self.faults.push(error(self.path, place.line(), place.column(), fault.to_string(), hint));
    }

    /// A time that does not depend on the clock.
    fn time<T>(&mut self, text: &str, at: &Spanned<T>) -> Option<i64> {
        let relative = text.contains("now");
        let time = match relative {
            true => Err("must be RFC 3339 or epoch milliseconds".to_owned()),
            false => parse_time(&text.into(), 0, &TimeZone::UTC),
        };
        time.map_err(|fault| self.fault(at, fault, "write a fixed time, such as 2026-01-05T00:00:00Z")).ok()
    }

    fn points(&mut self, written: &WrittenSeries) -> Vec<Point> {
        let start = self.time(&written.start.value, &written.start);
        let step = written.step.value.parse::<Step>();
        let step = step.map_err(|fault| self.fault(&written.step, fault, "write a duration, such as 1m")).ok();
        let values = values::parse(&written.values.value);
        let values =
            values.map_err(|fault| self.fault(&written.values, fault, "write values: \"100x3 _ 0+10x4\"")).ok();
        if written.series.value.is_empty() {
            self.fault(&written.series, "a stored series has a name", "write the name that the metric reads");
        }
        let (Some(start), Some(step), Some(values)) = (start, step, values) else { return Vec::new() };
        let mut timestamp = start;
        let mut points = Vec::new();
        let tags: Tags = written.tags.clone().into_iter().filter(|(_, value)| !value.is_empty()).collect();
        for value in values {
            if let Some(value) = value {
                points.push(Point { series: written.series.value.clone(), tags: tags.clone(), timestamp, value });
            }
            timestamp = step.next(timestamp, &TimeZone::UTC);
        }
        points
    }

    fn test(&mut self, index: usize, written: &WrittenTest, now: Option<i64>) -> Result<Test, BrokenTest> {
        for (field, value) in written.value.iter().filter(|(field, _)| !FIELDS.contains(&field.as_str())) {
            let hint = match nearest(field, FIELDS) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("there are {}", FIELDS.join(", ")),
            };
            self.fault(value, format!("a test has no `{}`", shorten(field, 60)), &hint);
        }
        let name = self.name(written);
        let line = written.value.get("name").map_or(written.referenced.line(), |name| name.referenced.line());
        let request = self.request(written);
        let expect = self.expect(written);
        let tolerance = written.value.get("tolerance").and_then(|written| self.tolerance(written));
        let own = written.value.get("now").and_then(|written| {
            let text = written.value.as_str().map_or_else(|| written.value.to_string(), str::to_owned);
            self.time(&text, written)
        });
        let faults = std::mem::take(&mut self.faults);
        match (name, request, expect) {
            (Some(name), Some(request), Some(expect)) if faults.is_empty() => {
                let tolerance = tolerance.unwrap_or(DEFAULT_TOLERANCE);
                Ok(Test { name, line, index, request, expect, tolerance, now: own.or(now) })
            }
            (name, ..) => {
                let name = name.unwrap_or_else(|| format!("test {}", index + 1));
                Err(BrokenTest { name, line, faults })
            }
        }
    }

    /// A field that no test can be without.
    fn required<'t>(&mut self, written: &'t WrittenTest, field: &str, hint: &str) -> Option<&'t Spanned<Value>> {
        let found = written.value.get(field);
        if found.is_none() {
            self.fault(written, format!("the test has no `{field}`"), hint);
        }
        found
    }

    fn name(&mut self, written: &WrittenTest) -> Option<String> {
        let hint = "write name: what it shows, in a few words";
        let name = self.required(written, "name", hint)?;
        let text = name.value.as_str().filter(|text| !text.is_empty());
        if text.is_none() {
            self.fault(name, "a test's name is a text", hint);
        }
        text.map(str::to_owned)
    }

    fn request(&mut self, written: &WrittenTest) -> Option<Request> {
        let hint = "write what `POST /:keyspace` takes: { formulas: […], from: …, to: …, step: … }";
        let request = self.required(written, "request", hint)?;
        let read = Request::from_json(&request.value);
        let tell = |faults: Vec<crate::query::InputError>| {
            for fault in faults {
                self.fault(request, format!("request{}: {}", fault.pointer, fault.detail), hint);
            }
        };
        read.map_err(tell).ok()
    }

    fn expect(&mut self, written: &WrittenTest) -> Option<BTreeMap<String, Expected>> {
        let hint = "write expect: { formula: { \"tag=value\": [1, 2, null] } }";
        let expect = self.required(written, "expect", hint)?;
        let Some(formulas) = expect.value.as_object() else {
            self.fault(expect, "what is expected is a mapping from formulas to their series", hint);
            return None;
        };
        if formulas.is_empty() {
            self.fault(expect, "a test that expects nothing cannot fail", hint);
        }
        let mut read = BTreeMap::new();
        for (formula, value) in formulas {
            match expect::read(value) {
                Ok(expected) => drop(read.insert(formula.clone(), expected)),
                Err(fault) => self.fault(expect, format!("{formula}: {fault}"), hint),
            }
        }
        Some(read)
    }

    fn tolerance(&mut self, written: &Spanned<Value>) -> Option<f64> {
        let tolerance = written.value.as_f64().filter(|tolerance| tolerance.is_finite() && *tolerance >= 0.0);
        if tolerance.is_none() {
            self.fault(written, "must be a number from 0", "write one such as 1e-9");
        }
        tolerance
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
        let lines = |faults: &[Diagnostic]| -> Vec<String> {
            faults.iter().map(|found| format!("{}: {}", found.location, found.message)).collect()
        };
        let told = |text: &str| match read("shop.test.yaml", &Ok(text.as_bytes().to_vec())) {
            Ok(file) => {
                let of = |test: &Result<Test, BrokenTest>| match test {
                    Ok(test) => vec![format!("sound: {}", test.name)],
                    Err(broken) => lines(&broken.faults),
                };
                file.tests.iter().flat_map(of).collect()
            }
            Err(faults) => lines(&faults),
        };
        let lines = |text: &str| told(text).join("\n");
        insta::assert_snapshot!(format!("{}\n{}", lines(text), lines(&text[text.find("tests").unwrap()..])));
        assert!(told("series: []\ntest: []\n")[0].starts_with("shop.test.yaml:2:1: unknown field `test`"));
    }
}
