//! What a metric's entry `backends.elasticsearch` says of documents of another form.
//!
//! ```yaml
//! elasticsearch:
//!   index: "web-events-*"          # wildcards, lists with commas and aliases, as Elasticsearch takes them
//!   time_field: "@timestamp"       # the default
//!   value_field: amount            # null: a document counts 1; absent: its `value`, and 1 where it has none
//!   series_field: series           # null: not looked at; absent: a document that has a `series` must bear the stored name
//!   filter: "status:[500 TO 599]"  # a query string, or an object of the query DSL
//!   tag_fields: { variation: labels.variation }   # or a list, where tags and fields have the same names
//! ```
//! A tag that `tag_fields` does not name is the field `tags.<tag>` where the index has it, else `<tag>`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A checked entry. `None` is what the entry leaves out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping {
    pub index: Option<String>,
    pub time_field: Option<String>,
    pub value_field: Option<Choice>,
    pub series_field: Option<Choice>,
    pub filter: Option<Filter>,
    pub tag_fields: Option<BTreeMap<String, String>>,
}

/// A field, or none on purpose.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    Field(String),
    Nothing,
}

/// Which documents count, in the words of the file's author.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Lucene's syntax.
    QueryString(String),
    /// The query DSL.
    Dsl(Map<String, Value>),
}

/// Reads the entry of a metric: JSON text of an object, empty when there is none.
///
/// # Errors
/// What is wrong with it and what would be right.
pub fn parse(text: &str) -> Result<Mapping, String> {
    if text.is_empty() {
        return Ok(Mapping::default());
    }
    let Ok(Value::Object(entries)) = serde_json::from_str(text) else {
        return Err("elasticsearch: must be a mapping, such as { index: \"events-*\", value_field: amount }".to_owned());
    };
    let mut mapping = Mapping::default();
    for (key, value) in entries {
        match key.as_str() {
            "index" => mapping.index = Some(index(&value)?),
            "time_field" => mapping.time_field = Some(field(&key, &value)?),
            "value_field" => mapping.value_field = Some(choice(&key, &value)?),
            "series_field" => mapping.series_field = Some(choice(&key, &value)?),
            "filter" => mapping.filter = Some(filter(value)?),
            "tag_fields" => mapping.tag_fields = Some(tag_fields(&value)?),
            _ => {
                let keys = "index, time_field, value_field, series_field, filter and tag_fields";
                return Err(format!("elasticsearch: there is no key `{key}`; there are {keys}"));
            }
        }
    }
    Ok(mapping)
}

fn index(value: &Value) -> Result<String, String> {
    match value.as_str() {
        // A name that begins so is an endpoint of the server, and control characters are in no name.
        Some(name) if !name.is_empty() && !name.starts_with('_') && !name.chars().any(char::is_control) => {
            Ok(name.to_owned())
        }
        _ => Err("elasticsearch: index must be the name of an index or a pattern, such as \"events-*\"".to_owned()),
    }
}

fn field(key: &str, value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(name) if !name.trim().is_empty() && !name.contains('*') && !name.chars().any(char::is_control) => {
            Ok(name.to_owned())
        }
        _ => Err(format!("elasticsearch: {key} must be the name of a field, without wildcards")),
    }
}

fn choice(key: &str, value: &Value) -> Result<Choice, String> {
    if value.is_null() { Ok(Choice::Nothing) } else { field(key, value).map(Choice::Field) }
}

fn filter(value: Value) -> Result<Filter, String> {
    let wrong = || {
        "elasticsearch: filter must be a query string, such as \"status:500\", or an object of the query DSL with one \
         query, such as { term: { status: 500 } }"
            .to_owned()
    };
    if value.to_string().contains("${") {
        return Err(
            "elasticsearch: parameters are not completed in filter; filter by the metric's tags, and name their \
             fields in tag_fields"
                .to_owned(),
        );
    }
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(Filter::QueryString(text)),
        Value::Object(query) if query.len() == 1 => Ok(Filter::Dsl(query)),
        _ => Err(wrong()),
    }
}

fn tag_fields(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let named = |(tag, name): (&String, &Value)| Ok((tag.clone(), field("each of tag_fields", name)?));
    let alike = |name: &Value| field("each of tag_fields", name).map(|name| (name.clone(), name));
    match value {
        Value::Object(fields) => fields.iter().map(named).collect(),
        Value::Array(fields) => fields.iter().map(alike).collect(),
        _ => Err("elasticsearch: tag_fields must be tags and their fields, such as { host: labels.host }".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_what_is_left_out_stays_open() {
        assert_eq!(parse(""), Ok(Mapping::default()));
        let text =
            r#"{"filter":{"term":{"a":1}},"index":"a-*","series_field":null,"tag_fields":["x"],"value_field":"v"}"#;
        let mapping = parse(text).unwrap();
        assert_eq!(mapping.index.as_deref(), Some("a-*"));
        assert_eq!(mapping.value_field, Some(Choice::Field("v".to_owned())));
        assert_eq!(mapping.series_field, Some(Choice::Nothing));
        assert_eq!(mapping.tag_fields, Some(BTreeMap::from([("x".to_owned(), "x".to_owned())])));
        assert!(matches!(mapping.filter, Some(Filter::Dsl(_))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("[]", "must be a mapping"),
            (r#"{"indx":"a"}"#, "there is no key `indx`"),
            (r#"{"index":""}"#, "index must be"),
            (r#"{"index":"_all"}"#, "index must be"),
            (r#"{"index":["a"]}"#, "index must be"),
            (r#"{"time_field":7}"#, "time_field must be"),
            (r#"{"time_field":null}"#, "time_field must be"),
            (r#"{"value_field":"a*"}"#, "value_field must be"),
            (r#"{"filter":7}"#, "filter must be"),
            (r#"{"filter":{}}"#, "filter must be"),
            (r#"{"filter":{"a":{},"b":{}}}"#, "filter must be"),
            (r#"{"filter":"status:${x}"}"#, "parameters are not completed"),
            (r#"{"tag_fields":"host"}"#, "tag_fields must be"),
            (r#"{"tag_fields":{"host":1}}"#, "each of tag_fields must be"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
