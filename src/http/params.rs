//! Query parameters → a request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::query::{Entry, Formulas, InputError, Request};

const KNOWN: &str = "formula, from, to, step, timezone, max_points, summary, compare and param.NAME";
const KNOWN_OF_VALUES: &str = "from, to and param.NAME";

/// A request out of `formula` (repeated), `param.NAME` (repeated: a list) and the fields of a body.
pub fn request(query: &str) -> Request {
    let mut reader = Reader::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "formula" => reader.formula(&value),
            "summary" | "compare" => reader.flag(&name, &value),
            "max_points" => reader.number("max_points", &value),
            "from" | "to" | "step" | "timezone" => reader.field(&name, value.as_ref().into()),
            _ => reader.parameter(&name, &value, KNOWN),
        }
    }
    reader.finish()
}

/// The window and the parameters of a request for a picker's values.
pub fn window(query: &str) -> Request {
    let mut reader = Reader::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "from" | "to" => reader.field(&name, value.as_ref().into()),
            _ => reader.parameter(&name, &value, KNOWN_OF_VALUES),
        }
    }
    // A body must name formulas; a picker has none.
    reader.formulas = vec!["*".into()];
    Request { formulas: Formulas::Entries(Vec::<Entry>::new()), ..reader.finish() }
}

/// An error that points into a body, pointing at the query parameter instead.
pub fn as_parameter(error: InputError) -> InputError {
    let pointer = match error.pointer.split('/').collect::<Vec<&str>>().as_slice() {
        ["", "formulas", ..] => "/formula".to_owned(),
        ["", "params", name, ..] => format!("/param.{name}"),
        _ => error.pointer,
    };
    InputError { pointer, ..error }
}

#[derive(Default)]
struct Reader {
    formulas: Vec<Value>,
    fields: Map<String, Value>,
    params: BTreeMap<String, Vec<Value>>,
    errors: Vec<InputError>,
}

impl Reader {
    fn fault(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let pointer = crate::plan::request::pointer("", name);
        self.errors.push(InputError::new(pointer, code, detail));
    }

    /// Decoding puts this character where the bytes were not UTF-8.
    fn check_text(&mut self, name: &str, text: &str) {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            self.fault(name, "not_utf8", "must be UTF-8, percent-encoded");
        }
    }

    fn formula(&mut self, value: &str) {
        self.check_text("formula", value);
        self.formulas.push(value.into());
    }

    fn field(&mut self, name: &str, value: Value) {
        self.check_text(name, value.as_str().unwrap_or(""));
        if self.fields.insert(name.to_owned(), value).is_some() {
            self.fault(name, "repeated", "must be there once");
        }
    }

    fn flag(&mut self, name: &str, value: &str) {
        match value {
            "true" | "false" => self.field(name, (value == "true").into()),
            _ => self.fault(name, "wrong_type", "must be true or false"),
        }
    }

    fn number(&mut self, name: &str, value: &str) {
        match value.parse::<u64>() {
            Ok(number) => self.field(name, number.into()),
            Err(_) => self.fault(name, "wrong_type", "must be a whole number"),
        }
    }

    fn parameter(&mut self, name: &str, value: &str, known: &str) {
        match name.strip_prefix("param.") {
            Some(param) if !param.is_empty() => {
                self.check_text(name, value);
                self.params.entry(param.to_owned()).or_default().push(value.into());
            }
            _ => self.fault(name, "unknown_field", format!("there is no such query parameter; there are {known}")),
        }
    }

    fn finish(mut self) -> Request {
        let params = self.params.into_iter().map(|(name, mut values)| match values.len() {
            1 => (name, values.remove(0)),
            _ => (name, Value::Array(values)),
        });
        self.fields.insert("params".to_owned(), Value::Object(params.collect()));
        let all = self.formulas.as_slice() == ["*"];
        // A request without formulas is refused as one whose body lacks the field.
        if !self.formulas.is_empty() {
            let formulas = if all { "*".into() } else { Value::Array(self.formulas) };
            self.fields.insert("formulas".to_owned(), formulas);
        }
        let mut request = Request::read(&Value::Object(self.fields));
        let faults = std::mem::take(&mut request.faults).into_iter().map(as_parameter);
        request.faults = self.errors.into_iter().chain(faults).collect();
        request
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(query: &str) -> Vec<(String, &'static str)> {
        request(query).faults.into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn a_full_query_is_the_same_as_its_body() {
        let query = "formula=a&formula=b%20c&from=now-6h&to=1795305600000&step=1m&timezone=Europe%2FParis&max_points=10\
                     &summary=true&compare=true&param.x=1&param.y=a&param.y=b";
        let body = json!({ "formulas": ["a", "b c"], "from": "now-6h", "to": "1795305600000", "step": "1m",
            "timezone": "Europe/Paris", "max_points": 10, "summary": true, "compare": true,
            "params": { "x": "1", "y": ["a", "b"] } });
        assert_eq!(request(query), Request::from_json(&body).unwrap());
        assert_eq!(request("formula=*").formulas, Formulas::All);
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let found =
            faults("formula=a&formula=a&nope=1&a%2Fb=1&step=1y&summary=yes&max_points=-1&from=1&from=2&param.=1");
        let expected = [
            ("/nope", "unknown_field"),
            ("/a~1b", "unknown_field"),
            ("/summary", "wrong_type"),
            ("/max_points", "wrong_type"),
            ("/from", "repeated"),
            ("/param.", "unknown_field"),
            ("/formula", "duplicate_name"),
            ("/step", "invalid_step"),
        ];
        assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code)));
        assert_eq!(faults(""), [("/formula".to_owned(), "required")]);
        assert_eq!(faults("formula=a&param.x=%FF"), [("/param.x".to_owned(), "not_utf8")]);
    }

    #[test]
    fn a_window_has_no_formulas() {
        assert_eq!(window("from=now-1d&param.x=1").formulas, Formulas::Entries(Vec::new()));
        assert_eq!(window("formula=a").faults[0].pointer, "/formula");
    }
}
