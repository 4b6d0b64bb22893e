//! The OpenAPI document, generated from the handlers and from the types below.
//!
//! Some of the types are what is really serialized. Answers are written by hand (see [`super::encode`]); a test reads what is
//! written through the types here, so that they cannot drift apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, IntoResponses, OpenApi, ToSchema};

use super::problem::ProblemDocument;
use super::{answer, health, keyspace, webhook};

/// The body of `POST /{keyspace}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "formulas": ["conversion_rate",
        { "formula": "click_rate", "name": "search_clicks", "params": { "module": "search" } }],
    "from": "2026-11-22T00:00:00Z", "to": "2026-11-22T00:03:00Z", "step": "1m", "params": { "experiment": "exp-42" }
}))]
pub struct RequestBody {
    /// What is wanted: names and entries, or `"*"` for each formula that has a chart and whose parameters are complete.
    pub formulas: WantedFormulas,
    /// RFC 3339, epoch milliseconds, `now`, `now-6h`, `now-1d` (a calendar day), `now/d` (rounded down). Default: an hour
    /// before `to`.
    pub from: Option<Time>,
    /// As `from`; default: now.
    pub to: Option<Time>,
    /// A duration such as `1m`, a multiple of the keyspace's resolution; or `auto`, the default.
    pub step: Option<String>,
    /// The name of a timezone, for steps of a day and longer; default: the keyspace's.
    pub timezone: Option<String>,
    /// The most timestamps that `auto` gives; default 500.
    pub max_points: Option<u32>,
    /// Whether every series carries its summary.
    pub summary: Option<bool>,
    /// Whether the variations of the keyspace's experiment are compared with its control; carries summaries.
    pub compare: Option<bool>,
    /// Parameters for every entry.
    #[schema(value_type = Option<Object>)]
    pub params: Option<BTreeMap<String, Value>>,
}

/// What is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum WantedFormulas {
    /// `"*"`
    All(String),
    /// These, in this order.
    Entries(Vec<WantedFormula>),
}

/// One entry of `formulas`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum WantedFormula {
    /// A formula's name.
    Name(String),
    /// A formula with a name in the answer and parameters of its own.
    Entry {
        /// The formula's name.
        formula: String,
        /// The name in the answer; default: the formula's.
        name: Option<String>,
        /// Laid over the request's.
        #[schema(value_type = Option<Object>)]
        params: Option<BTreeMap<String, Value>>,
    },
}

/// A time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Time {
    /// RFC 3339, or relative to now.
    Text(String),
    /// Epoch milliseconds.
    Millis(i64),
}

/// The parameters of `GET /{keyspace}/query`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct QueryParameters {
    /// A formula's name; repeated for more; `*` for each formula that has a chart and whose parameters are complete.
    formula: Vec<String>,
    /// RFC 3339, epoch milliseconds, or relative to now.
    from: Option<String>,
    /// As `from`.
    to: Option<String>,
    /// A duration such as `1m`, or `auto`.
    step: Option<String>,
    /// The name of a timezone.
    timezone: Option<String>,
    /// The most timestamps that `auto` gives.
    max_points: Option<u32>,
    /// Whether every series carries its summary.
    summary: Option<bool>,
    /// Whether the variations of the keyspace's experiment are compared with its control; carries summaries.
    compare: Option<bool>,
    /// A parameter of the keyspace, under its own name; repeated: any of these values.
    #[param(rename = "param.NAME")]
    param: Option<Vec<String>>,
}

/// The parameters of `GET /{keyspace}/values/{parameter}`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct WindowParameters {
    /// RFC 3339, epoch milliseconds, or relative to now.
    from: Option<String>,
    /// As `from`.
    to: Option<String>,
    /// Another parameter of the keyspace, under its own name; repeated: any of these values.
    #[param(rename = "param.NAME")]
    param: Option<Vec<String>>,
}

/// An answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "keyspace": "storefront", "revision": "3f9c2ab", "backend": "embedded", "timezone": "America/Los_Angeles",
    "from": 1_795_305_600_000_i64, "to": 1_795_305_780_000_i64, "step": "1m",
    "timestamps": [1_795_305_600_000_i64, 1_795_305_660_000_i64, 1_795_305_720_000_i64],
    "results": [
        { "name": "conversion_rate", "formula": "conversion_rate", "expr": "customers / visitors",
          "chart": { "title": "Conversion rate", "kind": "line", "unit": "percent" },
          "series": [{ "tags": { "variation": "control" }, "values": [0.031, null, 0], "undefined": [[1, 1]] }],
          "warnings": [{ "code": "undefined", "count": 1, "detail": "1 value is undefined" }] },
        { "name": "nope", "formula": "nope", "error": { "code": "unknown_formula", "detail": "there is no formula `nope`" } }],
    "stats": { "backend_calls": 1, "selections": 2, "series": 1, "points": 3, "cache": "miss", "stale": false }
}))]
pub struct AnswerBody {
    /// The keyspace.
    pub keyspace: String,
    /// The revision of the repository that answered.
    pub revision: String,
    /// The backend that answered.
    pub backend: String,
    /// The timezone of steps of a day and longer.
    pub timezone: String,
    /// The first instant of the first bucket, in epoch milliseconds.
    pub from: i64,
    /// The first instant after the last bucket, in epoch milliseconds.
    pub to: i64,
    /// The width of a bucket.
    pub step: String,
    /// The starts of the buckets, shared by all series.
    pub timestamps: Vec<i64>,
    /// The first timestamp whose bucket was not over when the data were read.
    pub partial_from: Option<i64>,
    /// The first timestamp whose bucket may still get points that are late.
    pub settling_from: Option<i64>,
    /// In the order asked.
    pub results: Vec<ResultBody>,
    /// What it took.
    pub stats: StatsBody,
}

/// The answer to one entry: `expr`, `series` and `warnings`, or `error`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultBody {
    /// The entry's name.
    pub name: String,
    /// The formula's name.
    pub formula: String,
    /// The expression, templates completed.
    pub expr: Option<String>,
    /// The chart, templates completed.
    #[schema(value_type = Option<Object>)]
    pub chart: Option<Value>,
    /// In the order of their tags.
    pub series: Option<Vec<SeriesBody>>,
    /// Whether the traffic was split as the keyspace declares, where variations were compared.
    pub sample_ratio: Option<SampleRatioBody>,
    /// What a reader of the series should know.
    pub warnings: Option<Vec<WarningBody>>,
    /// Why there are no series.
    pub error: Option<ErrorBody>,
}

/// One line of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesBody {
    /// Tag names and values.
    pub tags: BTreeMap<String, String>,
    /// One value for each timestamp; null is missing or undefined.
    pub values: Vec<Option<f64>>,
    /// Runs of nulls that are undefined, as start and length.
    pub undefined: Option<Vec<[usize; 2]>>,
    /// The formula over the range as one bucket.
    pub summary: Option<f64>,
    /// Why `summary` is null.
    pub summary_reason: Option<String>,
    /// The series against the control's, where that was asked for; null for the control itself.
    pub compare: Option<ComparisonBody>,
}

/// A variation against the control, over the range. What could not be told is null, and `reason` says why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonBody {
    /// The variation's summary less the control's.
    pub difference: Option<f64>,
    /// The difference over the control's size; null where that is near zero.
    pub lift: Option<f64>,
    /// The lower end of the 95 % interval of the difference.
    pub low: Option<f64>,
    /// The upper end of the 95 % interval of the difference.
    pub high: Option<f64>,
    /// The lower end of the 95 % interval of the lift.
    pub lift_low: Option<f64>,
    /// The upper end of the 95 % interval of the lift.
    pub lift_high: Option<f64>,
    /// Of the two-sided test that there is no difference; not adjusted for several comparisons or for looking often.
    pub p_value: Option<f64>,
    /// `no_data`, `no_control`, `not_a_proportion`, `not_the_exposures`, `too_few` or `near_zero`.
    pub reason: Option<String>,
}

/// Whether what was assigned to the variations fits the declared split.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleRatioBody {
    /// What was counted.
    pub metric: String,
    /// By variation.
    pub observed: BTreeMap<String, f64>,
    /// By variation.
    pub expected: BTreeMap<String, f64>,
    /// Of the chi-squared test; null where there are too few, or what was counted are no whole numbers.
    pub p_value: Option<f64>,
    /// Whether the p-value is under 0.001.
    pub mismatch: bool,
}

/// Something that a reader of the series should know.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WarningBody {
    /// A stable identifier.
    pub code: String,
    /// How many points or series it is about.
    pub count: Option<usize>,
    /// A sentence.
    pub detail: String,
}

/// Why one formula was not answered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// A stable identifier.
    pub code: String,
    /// A sentence.
    pub detail: String,
    /// For `limit_exceeded`: the limit's name in the operator's file.
    pub limit: Option<String>,
    /// For `limit_exceeded`: what was reached; where reading stops at a limit, at least that.
    pub value: Option<u64>,
    /// For `limit_exceeded`: the limit.
    pub maximum: Option<u64>,
}

/// What an answer took.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatsBody {
    /// Requests that were sent to the backend.
    pub backend_calls: u32,
    /// Distinct reads.
    pub selections: usize,
    /// Series of all results.
    pub series: usize,
    /// Values of all results.
    pub points: usize,
    /// `miss`, `partial` or `hit`.
    pub cache: String,
    /// Whether the answer is older than it should be.
    pub stale: bool,
}

/// The keyspaces that the caller may read.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyspaceList {
    /// The revision of the repository.
    pub revision: String,
    /// By name.
    pub keyspaces: Vec<KeyspaceSummary>,
}

/// A keyspace in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyspaceSummary {
    /// Its name.
    #[schema(example = "storefront")]
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Of steps of a day and longer.
    pub timezone: String,
    /// How many formulas it has.
    pub formulas: usize,
}

/// The catalogue of a keyspace.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "keyspace": "storefront", "revision": "3f9c2ab", "title": "Storefront experiments",
    "timezone": "America/Los_Angeles", "resolution": "1m",
    "parameters": { "experiment": { "type": "string", "pattern": "^[a-z0-9-]+$", "optional": false } },
    "formulas": [{ "name": "conversion_rate", "expr": "customers / visitors",
        "chart": { "title": "Conversion rate", "kind": "line", "unit": "percent" },
        "params": ["experiment"], "metrics": ["customers", "visitors"], "tags": ["variation"] }]
}))]
pub struct CatalogueBody {
    /// Its name.
    pub keyspace: String,
    /// The revision of the repository.
    pub revision: String,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// Of steps of a day and longer.
    pub timezone: String,
    /// The finest step.
    pub resolution: String,
    /// Tag, control, split and exposures of its experiment.
    #[schema(value_type = Option<Object>)]
    pub experiment: Option<Value>,
    /// By name: type, pattern, values, min, max, default, optional, description.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// By name.
    pub formulas: Vec<CatalogueFormula>,
}

/// A formula in a catalogue.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CatalogueFormula {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// The expression as written.
    pub expr: String,
    /// The chart, templates not completed.
    #[schema(value_type = Option<Object>)]
    pub chart: Option<Value>,
    /// The parameters that it uses.
    pub params: Vec<String>,
    /// The metrics that it reads.
    pub metrics: Vec<String>,
    /// The names of its series' tags.
    pub tags: Vec<String>,
}

/// What a picker shows.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({ "values": ["exp-41", "exp-42"], "truncated": false }))]
pub struct ValuesBody {
    /// The values.
    pub values: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
}

/// What a request would do.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ExplainBody {
    /// The formulas and metrics, and which needs which.
    #[schema(value_type = Object)]
    pub graph: Value,
    /// One for each entry.
    #[schema(value_type = Vec<Object>)]
    pub plan: Value,
    /// The distinct reads.
    #[schema(value_type = Vec<Object>)]
    pub selections: Value,
    /// The calls that would be sent.
    #[schema(value_type = Vec<Object>)]
    pub calls: Value,
}

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    #[schema(example = "ok")]
    pub status: &'static str,
    /// With `?verbose`: the health of each backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, BackendHealth>>)]
    pub backends: Option<BTreeMap<&'static str, BackendHealth>>,
}

/// How a backend is.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackendHealth {
    /// Whether it answered.
    pub healthy: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A field that is wrong.
#[derive(Debug, ToSchema)]
pub struct FieldFault {
    /// A JSON pointer into the body, or `/` and the name of a query parameter.
    pub pointer: String,
    /// A stable identifier.
    pub code: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// The problems that any request can meet.
#[derive(Debug, IntoResponses)]
#[allow(missing_docs)]
pub enum Problems {
    /// Not JSON, a key that is there twice, or a body that broke off.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDocument),
    /// No such keyspace or path.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDocument),
    /// The path does not take the method; `Allow` names those that it takes.
    #[response(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(ProblemDocument),
    /// Nothing that is acceptable can be sent.
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(ProblemDocument),
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(ProblemDocument),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    PayloadTooLarge(ProblemDocument),
    /// The address is too long.
    #[response(status = 414, content_type = "application/problem+json")]
    UriTooLong(ProblemDocument),
    /// The body is not declared as JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemDocument),
    /// Fields that are wrong (`errors`), a limit (`limit`, `value`, `maximum`, `step`), or, for CSV, a formula that failed.
    #[response(status = 422, content_type = "application/problem+json")]
    UnprocessableEntity(ProblemDocument),
    /// The keyspace's rate or concurrency limit; `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(ProblemDocument),
    /// A defect of the service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemDocument),
    /// The backend failed.
    #[response(status = 502, content_type = "application/problem+json")]
    BadGateway(ProblemDocument),
    /// The service is busy, starting, or shutting down; `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDocument),
    /// The backend did not answer in time, or the deadline passed.
    #[response(status = 504, content_type = "application/problem+json")]
    GatewayTimeout(ProblemDocument),
}

#[derive(OpenApi)]
#[openapi(
    info(title = "tsdb-ws", description = "Answers formulas over time-series databases with decorated series."),
    paths(
        answer::post, answer::get, keyspace::explain, keyspace::catalogue, keyspace::values, keyspace::list, health::live,
        health::ready, health::health, webhook::pushed
    ),
    components(schemas(ProblemDocument, FieldFault)),
    tags(
        (name = "formulas", description = "Requests for formulas over one time range."),
        (name = "keyspaces", description = "What there is to ask for."),
        (name = "health", description = "For what watches the process."),
        (name = "repository", description = "For what changes the keyspace files.")
    )
)]
struct Document;

/// The OpenAPI document as it is checked in: pretty, with a line feed at its end.
///
/// # Errors
/// A document that cannot be written, which would be a defect.
pub fn document() -> Result<String, serde_json::Error> {
    // By way of a value, so that keys are sorted and the text does not depend on the order of derives.
    let value = serde_json::to_value(Document::openapi())?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}
