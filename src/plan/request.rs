//! What a caller asks for, checked as far as that goes without a keyspace.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::series::Step;

/// A request as it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// What is wanted.
    pub formulas: Formulas,
    /// A time: RFC 3339, epoch ms, or relative to now. Default: an hour before `to`.
    pub from: Option<Value>,
    /// A time; default: now.
    pub to: Option<Value>,
    /// `None` is `auto`.
    pub step: Option<Step>,
    /// The name of a timezone; default: the keyspace's.
    pub timezone: Option<String>,
    /// At most so many points a series for `auto`; default 500.
    pub max_points: Option<usize>,
    /// Whether every series carries its summary.
    pub summary: bool,
    /// Whether the variations of the keyspace's experiment are compared; carries summaries.
    pub compare: bool,
    /// Parameters for every entry.
    pub params: BTreeMap<String, Value>,
    /// What is wrong with its fields as they were read. Planning it fails with these and all else that is wrong with it.
    pub faults: Vec<InputError>,
}

/// The formulas of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Formulas {
    /// `"*"`: each formula that has a chart and whose parameters are complete.
    All,
    /// These, in this order.
    Entries(Vec<Entry>),
}

impl Default for Formulas {
    fn default() -> Formulas {
        Formulas::Entries(Vec::new())
    }
}

/// One entry of `formulas`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entry {
    /// The formula's name.
    pub formula: String,
    /// The name in the answer; default: the formula's.
    pub name: Option<String>,
    /// Laid over the request's.
    pub params: BTreeMap<String, Value>,
}

impl Entry {
    /// An entry that has no parameters of its own.
    pub fn named(formula: impl Into<String>) -> Entry {
        Entry { formula: formula.into(), ..Entry::default() }
    }

    /// The name in the answer.
    pub fn answer_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.formula)
    }
}

/// A field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InputError {
    /// A JSON pointer into the body (for GET: `/` and the parameter's name).
    pub pointer: String,
    /// A stable identifier.
    pub code: &'static str,
    /// A sentence that says what is wrong and what would be right.
    pub detail: String,
}

impl InputError {
    /// A field that is wrong.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> InputError {
        InputError { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// A JSON pointer to `key` below `parent` (RFC 6901).
pub fn pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

const FIELDS: [&str; 9] = ["formulas", "from", "to", "step", "timezone", "max_points", "summary", "compare", "params"];
const ENTRY_FIELDS: [&str; 3] = ["formula", "name", "params"];
/// The longest name of an entry in an answer, in bytes.
const MAX_NAME: usize = 200;

impl Request {
    /// Reads the JSON body of a request, all of whose fields are right as far as that can be told without a keyspace.
    ///
    /// # Errors
    /// Every field that is wrong or unknown.
    pub fn from_json(body: &Value) -> Result<Request, Vec<InputError>> {
        let request = Request::read(body);
        if request.faults.is_empty() { Ok(request) } else { Err(request.faults) }
    }

    /// Reads the JSON body of a request. What is wrong is among its faults, and counts as absent.
    pub fn read(body: &Value) -> Request {
        let Value::Object(body) = body else {
            let fault = InputError::new("", "wrong_type", "the body must be a JSON object");
            return Request { faults: vec![fault], ..Request::default() };
        };
        let mut reader = Reader::default();
        reader.refuse_unknown("", body, &FIELDS);
        Request {
            formulas: reader.formulas(body.get("formulas")),
            from: reader.time("/from", body.get("from")),
            to: reader.time("/to", body.get("to")),
            step: reader.step(body.get("step")),
            timezone: reader.text("/timezone", body.get("timezone")),
            max_points: reader.max_points(body.get("max_points")),
            summary: reader.flag("/summary", body.get("summary")),
            compare: reader.flag("/compare", body.get("compare")),
            params: reader.params("/params", body.get("params")),
            faults: reader.errors,
        }
    }
}

/// Reads fields and gathers what is wrong with them. A field that is null counts as absent.
#[derive(Default)]
struct Reader {
    errors: Vec<InputError>,
}

impl Reader {
    fn fault(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        // A body of a megabyte can hold very many faults; the first hundred are enough to mend it.
        if self.errors.len() < 100 {
            self.errors.push(InputError::new(pointer, code, detail));
        }
    }

    fn refuse_unknown(&mut self, parent: &str, object: &Map<String, Value>, known: &[&str]) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let detail = format!("there is no such field; there are {}", known.join(", "));
            self.fault(pointer(parent, key), "unknown_field", detail);
        }
    }

    fn formulas(&mut self, value: Option<&Value>) -> Formulas {
        match value {
            Some(Value::String(text)) if text == "*" => Formulas::All,
            // Alone in a list it can mean nothing else.
            Some(Value::Array(items)) if *items == ["*"] => Formulas::All,
            Some(Value::Array(items)) if !items.is_empty() => {
                let entries = items.iter().enumerate().map(|(index, item)| self.entry(index, item));
                let entries: Vec<Entry> = entries.collect();
                self.refuse_repeated_names(&entries);
                Formulas::Entries(entries)
            }
            Some(Value::Array(_)) => {
                self.fault("/formulas", "empty", "name at least one formula, or write \"*\" for all that have a chart");
                Formulas::default()
            }
            None | Some(Value::Null) => {
                self.fault("/formulas", "required", "name the formulas that are wanted, or write \"*\"");
                Formulas::default()
            }
            Some(_) => {
                self.fault("/formulas", "wrong_type", "must be a list of names or objects, or \"*\"");
                Formulas::default()
            }
        }
    }

    fn entry(&mut self, index: usize, item: &Value) -> Entry {
        let place = format!("/formulas/{index}");
        match item {
            Value::String(name) => Entry::named(name.as_str()),
            Value::Object(object) => {
                self.refuse_unknown(&place, object, &ENTRY_FIELDS);
                let formula = self.text(&format!("{place}/formula"), object.get("formula"));
                if formula.is_none() && !matches!(object.get("formula"), Some(value) if !value.is_null()) {
                    self.fault(format!("{place}/formula"), "required", "name the formula");
                }
                Entry {
                    formula: formula.unwrap_or_default(),
                    name: self.name(&format!("{place}/name"), object.get("name")),
                    params: self.params(&format!("{place}/params"), object.get("params")),
                }
            }
            _ => {
                self.fault(place, "wrong_type", "must be a formula's name, or an object with formula, name, params");
                Entry::default()
            }
        }
    }

    fn name(&mut self, place: &str, value: Option<&Value>) -> Option<String> {
        let name = self.text(place, value)?;
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            self.fault(place, "invalid_name", format!("must have 1 to {MAX_NAME} bytes and no control characters"));
        }
        Some(name)
    }

    fn refuse_repeated_names(&mut self, entries: &[Entry]) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = entry.answer_name();
            match first.get(name) {
                // An entry that could not be read has its own fault already.
                _ if name.is_empty() => {}
                None => drop(first.insert(name, index)),
                Some(earlier) => {
                    let field = if entry.name.is_some() { "/name" } else { "" };
                    let shown: String = name.chars().take(60).collect();
                    let detail = format!(
                        "the name `{shown}` is taken by entry {earlier}; give one of them another with \"name\""
                    );
                    self.fault(format!("/formulas/{index}{field}"), "duplicate_name", detail);
                }
            }
        }
    }

    fn time(&mut self, place: &str, value: Option<&Value>) -> Option<Value> {
        match value {
            None | Some(Value::Null) => None,
            Some(value @ (Value::String(_) | Value::Number(_))) => Some(value.clone()),
            Some(_) => {
                self.fault(place, "wrong_type", super::time::EXPECTED);
                None
            }
        }
    }

    fn step(&mut self, value: Option<&Value>) -> Option<Step> {
        let text = self.text("/step", value)?;
        if text == "auto" {
            return None;
        }
        match text.parse() {
            Ok(step) => Some(step),
            Err(error) => {
                self.fault("/step", "invalid_step", format!("{error}, or auto"));
                None
            }
        }
    }

    fn max_points(&mut self, value: Option<&Value>) -> Option<usize> {
        match value {
            None | Some(Value::Null) => None,
            // `500.0` is the same number in JSON.
            Some(value) => {
                match value.as_f64().filter(|points| points.fract() == 0.0 && (1.0..=1e6).contains(points)) {
                    Some(points) => Some(points as usize),
                    None => {
                        self.fault("/max_points", "out_of_range", "must be a whole number from 1 to 1000000");
                        None
                    }
                }
            }
        }
    }

    fn text(&mut self, place: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.fault(place, "wrong_type", "must be a string");
                None
            }
        }
    }

    fn flag(&mut self, place: &str, value: Option<&Value>) -> bool {
        match value {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(place, "wrong_type", "must be true or false");
                false
            }
        }
    }

    fn params(&mut self, place: &str, value: Option<&Value>) -> BTreeMap<String, Value> {
        match value {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(params)) => params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            Some(_) => {
                self.fault(place, "wrong_type", "must be an object of parameters");
                BTreeMap::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(body: Value) -> Vec<(String, &'static str)> {
        Request::from_json(&body).unwrap_err().into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn a_full_request_is_read() {
        let request = Request::from_json(&json!({
            "formulas": ["a", { "formula": "b", "name": "c", "params": { "module": "search" } }],
            "from": "now-6h", "to": 1_795_305_600_000_i64, "step": "1m", "timezone": "UTC", "max_points": 10,
            "summary": true, "compare": true, "params": { "experiment": "exp-42" }
        }))
        .unwrap();
        let Formulas::Entries(entries) = &request.formulas else { panic!("entries") };
        assert_eq!(entries[1].answer_name(), "c");
        assert_eq!(request.step.unwrap().to_string(), "1m");
        assert!(request.summary && request.compare);
    }

    #[test]
    fn every_fault_is_gathered_with_its_place() {
        let body = json!({ "formulas": ["a", "a", 7, { "name": "", "a/b~": 1 }], "step": "1y", "summary": 1, "x": 0 });
        let expected = [
            ("/x", "unknown_field"),
            ("/formulas/2", "wrong_type"),
            ("/formulas/3/a~1b~0", "unknown_field"),
            ("/formulas/3/formula", "required"),
            ("/formulas/3/name", "invalid_name"),
            ("/formulas/1", "duplicate_name"),
            ("/step", "invalid_step"),
            ("/summary", "wrong_type"),
        ];
        let expected: Vec<(String, &str)> = expected.iter().map(|(place, code)| (place.to_string(), *code)).collect();
        assert_eq!(faults(body), expected);
        assert_eq!(faults(json!([])), [(String::new(), "wrong_type")]);
        assert_eq!(faults(json!({})), [("/formulas".to_string(), "required")]);
        assert_eq!(faults(json!({ "formulas": [] })), [("/formulas".to_string(), "empty")]);
    }
}
