//! The JSON schema of keyspace files: it knows every key, takes what is sound and refuses what is structurally broken.

use std::process::Command;

use serde_json::{Value, json};

const STOREFRONT: &str = include_str!("../testdata/storefront.yaml");
const DEMO: &str = include_str!("../../formulas/demo.yaml");

fn schema() -> Value {
    let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).arg("schema").output().unwrap();
    assert_eq!(run.status.code(), Some(0));
    serde_json::from_slice(&run.stdout).unwrap()
}

/// What of JSON Schema's draft 7 the schema uses; a keyword that is not here fails the test that counts them.
const KEYWORDS: [&str; 25] = [
    "$ref",
    "type",
    "enum",
    "const",
    "properties",
    "additionalProperties",
    "propertyNames",
    "required",
    "items",
    "oneOf",
    "allOf",
    "if",
    "then",
    "else",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "uniqueItems",
    "format",
    "definitions",
];
const NOTES: [&str; 6] = ["$schema", "$id", "title", "description", "examples", "default"];

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool().unwrap() };
    let holds = |(keyword, rule): (&String, &Value)| rule_holds(root, rules, keyword, rule, value);
    rules.iter().all(holds)
}

fn rule_holds(
    root: &Value,
    rules: &serde_json::Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
) -> bool {
    let number = |rule: &Value| rule.as_f64().unwrap();
    let count = |rule: &Value| rule.as_u64().unwrap() as usize;
    let fits = |schema: &Value| valid(root, schema, value);
    match keyword {
        "$ref" => fits(root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap()),
        "type" => list(rule).into_iter().any(|name| is_type(value, name.as_str().unwrap())),
        "enum" => list(rule).contains(&value),
        "const" => rule == value,
        "oneOf" => list(rule).into_iter().filter(|one| fits(one)).count() == 1,
        "allOf" => list(rule).into_iter().all(fits),
        "if" => match fits(rule) {
            true => rules.get("then").is_none_or(fits),
            false => rules.get("else").is_none_or(fits),
        },
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| rule.get(key).is_none_or(|schema| valid(root, schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = |key: &str| rules.get("properties").is_some_and(|known| known.get(key).is_some());
            object.iter().filter(|(key, _)| !known(key)).all(|(_, value)| valid(root, rule, value))
        }),
        "propertyNames" => {
            value.as_object().is_none_or(|object| object.keys().all(|key| valid(root, rule, &json!(key))))
        }
        "required" => value
            .as_object()
            .is_none_or(|object| list(rule).iter().all(|key| object.contains_key(key.as_str().unwrap()))),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(root, rule, item))),
        "pattern" => value.as_str().is_none_or(|text| regex_matches(rule.as_str().unwrap(), text)),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() >= count(rule)),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() <= count(rule)),
        "minimum" => value.as_f64().is_none_or(|value| value >= number(rule)),
        "maximum" => value.as_f64().is_none_or(|value| value <= number(rule)),
        "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > number(rule)),
        "minItems" => value.as_array().is_none_or(|items| items.len() >= count(rule)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() <= count(rule)),
        "uniqueItems" => {
            value.as_array().is_none_or(|items| items.iter().enumerate().all(|(at, item)| !items[..at].contains(item)))
        }
        _ => true,
    }
}

fn regex_matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).unwrap().is_match(text)
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn sound_files_are_valid() {
    let schema = schema();
    for text in [STOREFRONT, DEMO] {
        assert!(valid(&schema, &schema, &yaml(text)), "{text}");
    }
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/check")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".warn.yaml") {
            assert!(valid(&schema, &schema, &yaml(&std::fs::read_to_string(&path).unwrap())), "{}", path.display());
        }
    }
}

#[test]
fn files_that_are_broken_in_structure_are_not() {
    let schema = schema();
    for name in [
        "aggregate-of-a-counter",
        "comma-splits-an-expression",
        "defaults-against-their-rules",
        "enum-without-values",
        "fields-of-another-type",
        "invalid-names",
        "list-as-expression",
        "missing-library",
        "no-expression",
        "no-stored-name",
        "no-title",
        "no-value-of-a-tag",
        "not-a-mapping",
        "null-expression",
        "parameter-without-a-type",
        "sections-of-the-wrong-type",
        "too-long-an-expression",
        "unknown-backend",
        "unknown-key-of-a-chart",
        "unknown-key-of-a-metric",
        "unknown-key",
        "wrong-settings",
        "wrong-words-of-a-chart",
        "wrong-words-of-a-metric",
    ] {
        let path = format!("{}/tests/testdata/check/{name}.bad.yaml", env!("CARGO_MANIFEST_DIR"));
        assert!(!valid(&schema, &schema, &yaml(&std::fs::read_to_string(path).unwrap())), "{name}");
    }
}

/// Every key that the schema offers is one that the reader knows, and every one that the reader names is in the schema.
#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema = schema();
    let keys = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    let wrong = "zzzzzzzzzzzzzzzzzzzz: 1";
    for (pointer, text) in [
        ("/properties", format!("{wrong}\n")),
        ("/properties/defaults/properties", format!("defaults: {{ {wrong} }}\n")),
        ("/properties/experiment/properties", format!("experiment: {{ {wrong} }}\n")),
        ("/definitions/parameter/properties", format!("parameters: {{ p: {{ {wrong} }} }}\n")),
        ("/definitions/metric/properties", format!("metrics: {{ m: {{ {wrong} }} }}\n")),
        (
            "/definitions/metric/properties/backends/properties",
            format!("metrics: {{ m: {{ backends: {{ {wrong} }} }} }}\n"),
        ),
        ("/definitions/formula/properties", format!("formulas: {{ f: {{ {wrong} }} }}\n")),
        ("/definitions/chart/properties", format!("formulas: {{ f: {{ expr: 1, chart: {{ {wrong} }} }} }}\n")),
    ] {
        let catalog = tsdb_ws::catalog::compile(&crate::support::listing(&[("k.yaml", &text)]));
        let fault = catalog.diagnostics.iter().find(|found| found.code == "unknown_key").unwrap();
        let hint = fault.hint.clone().unwrap();
        let mut known: Vec<&str> = hint.strip_prefix("there are ").unwrap().split(", ").collect();
        known.sort_unstable();
        assert_eq!(keys(pointer), known, "{pointer}");
    }
}

#[test]
fn the_validator_of_this_test_knows_every_keyword() {
    fn visit(value: &Value, is_schema: bool) {
        let Some(object) = value.as_object() else { return };
        for (key, value) in object {
            let named = ["properties", "definitions"].contains(&key.as_str()) && is_schema;
            assert!(!is_schema || KEYWORDS.contains(&key.as_str()) || NOTES.contains(&key.as_str()), "{key}");
            match value {
                Value::Array(items) if ["oneOf", "allOf"].contains(&key.as_str()) => {
                    items.iter().for_each(|item| visit(item, true));
                }
                _ if is_schema
                    && ["examples", "default", "const", "enum", "required", "type"].contains(&key.as_str()) => {}
                value => visit(value, !named),
            }
        }
    }
    visit(&schema(), true);
}
