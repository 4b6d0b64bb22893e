//! What a caller asks for, checked as far as that goes without a keyspace.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::series::Step;

/// A request as it was asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What is wanted.
    pub formulas: Formulas,
    /// A time: RFC 3339, epoch ms, or relative to now. Default: an hour before now.
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
    /// Parameters for every entry.
    pub params: BTreeMap<String, Value>,
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

impl Request {
    /// Reads the JSON body of a request. All faults are gathered.
    ///
    /// # Errors
    /// Every field that is wrong or unknown.
    pub fn from_json(body: &Value) -> Result<Request, Vec<InputError>> {
        let _ = body;
        todo!("query")
    }
}
