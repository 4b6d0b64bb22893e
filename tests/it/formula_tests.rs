//! `test`: the demo passes, ten mutations of it fail usefully, every form of expectation, `--update`, `--filter`, coverage.

use std::path::Path;
use std::process::{Command, Output};

const DEMO: &str = include_str!("../../formulas/demo.yaml");
const DEMO_TESTS: &str = include_str!("../../formulas/demo.test.yaml");

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output =
        Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).arg("test").arg(folder).args(arguments).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), told)
}

#[test]
fn the_demo_passes_and_ten_mutations_of_it_fail_usefully() {
    let (code, told) = run(folder(&[("demo.yaml", DEMO), ("demo.test.yaml", DEMO_TESTS)]).path(), &[]);
    assert_eq!(code, Some(0), "{told}");
    for (before, after, fails) in [
        ("expr: customers / visitors", "expr: customers * visitors", "conversion_rate"),
        ("expr: customers / visitors", "expr: visitors / customers", "conversion_rate"),
        ("expr: customers / visitors", "expr: customers / visitors * 2", "conversion_rate"),
        ("(clicks_hero + clicks_search)", "(clicks_hero - clicks_search)", "search_share"),
        ("expr: clicks_${module} / visitors", "expr: clicks_hero / visitors", "click_rate"),
        (", tags: { module: \"${module}\" }", "", "click_rate"),
        ("experiment: \"${experiment}\", ", "", "conversion_rate"),
        (", platform: \"${platform}\"", "", "average_order_value"),
        ("expr: revenue / customers", "expr: revenue / max(customers, 1)", "average_order_value"),
        ("aggregate: p95", "aggregate: p50", "p95_load_time"),
        ("series: demo.customers", "series: demo.customers, aggregate: count", "conversion_rate"),
        ("group_by: [variation]", "group_by: [variation, platform]", "conversion_rate"),
    ] {
        assert!(DEMO.contains(before), "{before}");
        let mutated = DEMO.replacen(before, after, 1);
        let (code, told) = run(folder(&[("demo.yaml", &mutated), ("demo.test.yaml", DEMO_TESTS)]).path(), &[]);
        assert_eq!(code, Some(1), "{before} → {after}: {told}");
        // The formula, its series, and the first point that differs or that the series is there at all.
        let line =
            told.lines().find(|line| line.trim_start().starts_with(&format!("{fails} {{variation="))).unwrap_or("");
        let useful = told.contains("    ▶ 2026-01-05T00:0") || line.ends_with("expected") || line.ends_with("missing");
        assert!(told.contains("FAILED demo.test.yaml:") && !line.is_empty() && useful, "{before} → {after}: {told}");
    }
}

const KEYSPACE: &str = "
metrics:
  visits: { series: s.visits, group_by: [v] }
  buys: { series: s.buys, group_by: [v] }
  all: s.visits
formulas:
  conversion: buys / visits
  smooth: moving_sum(visits, \"2m\")
  total: all
  unseen: total + 1
";
const SERIES: &str = "
series:
  - { series: s.visits, tags: { v: a }, start: 1970-01-01T00:00:00Z, step: 1m, values: \"4 -1.5x2 _ 10-2.5x3\" }
  - { series: s.buys, tags: { v: a }, start: 1970-01-01T00:00:00Z, step: 1m, values: \"1 0 3 _x2 1\" }
tests:
";
const PASSING: &str = r#"
  - name: everything that can be expected
    request: { formulas: [conversion, smooth, total, nope], from: 0, to: 360000, step: 1m, summary: true }
    expect:
      conversion:
        series: { "v=a": [0.25, 0, -2, undefined, 0, 0.13333333333333333] }
        undefined: { "{v=a}": [[3, 1]] }
        warnings: [undefined]
      smooth: { summary: { "v=a": no_single_bucket }, series: { "v=a": [4, 2.5, -3, -1.5, 10, 17.5] } }
      total: { summary: { "": 18.5 } }
      nope: { error: unknown_formula }
  - name: no tags, and a null that is undefined
    request: { formulas: [total, conversion], from: 120000, to: 300000, step: 1m }
    expect:
      total: { "": [-1.5, 0, 10] }
      conversion: { "v=a": [-2, null, 0] }
  - name: the other way to write no tags
    request: { formulas: [total], from: 0, to: 60000, step: 1m }
    expect: { total: { "{}": [4] } }
"#;

fn tests(text: &str) -> String {
    format!("{}{}", SERIES.trim_start(), text.trim_start_matches('\n'))
}

#[test]
fn every_form_of_expectation_holds_and_uncovered_formulas_are_listed() {
    for (keyspace, file) in [("shop.yaml", "shop.test.yaml"), ("shop/a.yaml", "shop/any.test.yaml")] {
        let (code, told) = run(folder(&[(keyspace, KEYSPACE), (file, &tests(PASSING))]).path(), &[]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("3 passed, 0 failed\n3 of 4 formulas covered\n  no test covers shop/unseen ("), "{told}");
    }
}

#[test]
fn each_part_of_an_expectation_can_fail() {
    for (before, after, told_is) in [
        ("[[3, 1]]", "[[3, 2]]", "undefined: expected [[3, 2]], got [[3, 1]]"),
        ("warnings: [undefined]", "warnings: []", "warnings: expected [], got [undefined]"),
        ("no_single_bucket", "undefined", "summary: expected null (undefined), got null (no_single_bucket)"),
        ("\"\": 18.5", "\"\": 19", "summary: expected 19, got 18.5"),
        ("unknown_formula", "zork", "expected the error `zork`, got `unknown_formula`"),
        ("[-1.5, 0, 10]", "[-1.5, undefined, 10]", "▶ 1970-01-01T00:03:00Z  undefined     0"),
        ("[-1.5, 0, 10]", "[-1.5, 0]", "▶ 1970-01-01T00:04:00Z   nothing    10"),
        ("\"v=a\": [-2", "\"v=b\": [-2", "conversion {v=b}: the series is missing"),
    ] {
        let text = tests(&PASSING.replacen(before, after, 1));
        let (code, told) = run(folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &text)]).path(), &[]);
        assert_eq!(code, Some(1), "{after}: {told}");
        assert!(told.contains(told_is), "{after}: {told}");
    }
}

#[test]
fn an_update_writes_what_was_got_and_keeps_everything_else() {
    let right = tests(PASSING);
    let wrong = right
        .replace("[0.25, 0, -2,", "[ 0.25,   7, -2, # kept\n         ")
        .replace("[[3, 1]]", "[]")
        .replace("warnings: [undefined]", "warnings: [ ]  # a note")
        .replace("no_single_bucket", "3")
        .replace("\"\": 18.5", "\"\": no_data")
        .replace("unknown_formula", "zork")
        .replace("[-1.5, 0, 10]", "[1]")
        .replace("{ \"v=a\": [-2, null, 0] }", "{ error: gone }");
    let place = folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &wrong)]);
    let (code, told) = run(place.path(), &["--update"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1 passed, 2 updated, 0 failed"), "{told}");
    let expected = right
        .replace("[0.25, 0, -2,", "[ 0.25,   0, -2, # kept\n         ")
        .replace("warnings: [undefined]", "warnings: [undefined]  # a note")
        .replace("[-2, null, 0]", "[-2, undefined, 0]");
    assert_eq!(std::fs::read_to_string(place.path().join("shop.test.yaml")).unwrap(), expected);
    assert_eq!(run(place.path(), &[]).0, Some(0));
    // What is written line by line cannot be rewritten, and nothing is.
    let dashes = right.replace("total: { \"\": [-1.5, 0, 10] }", "total:\n        \"\":\n          - 1\n          - 2");
    let place = folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &dashes)]);
    let (code, told) = run(place.path(), &["--update"]);
    assert!(code == Some(1) && told.contains("total: only what is written in [ ]"), "{told}");
    assert_eq!(std::fs::read_to_string(place.path().join("shop.test.yaml")).unwrap(), dashes);
}

#[test]
fn values_of_tags_may_hold_what_separates_them() {
    let series = SERIES.replace("v: a }", r#"v: "a,b=\"c\"" }"#);
    let test = |series: &str| {
        format!(
            "  - name: t\n    request: {{ formulas: [smooth], from: 0, to: 60000, step: 1m }}\n    expect: {{ smooth: {series} }}\n"
        )
    };
    let right = test(r#"{ "v=\"a,b=\\\"c\\\"\"": [4] }"#);
    let place =
        folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &format!("{series}{}", test("{ \"v=x\": [1] }")))]);
    let (code, told) = run(place.path(), &["--update"]);
    assert_eq!(code, Some(0), "{told}");
    let updated = std::fs::read_to_string(place.path().join("shop.test.yaml")).unwrap();
    assert_eq!(updated, format!("{series}{right}"));
    assert_eq!(run(place.path(), &[]).0, Some(0));
}

#[test]
fn a_filter_chooses_and_one_that_chooses_nothing_is_an_error() {
    let place = folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &tests(PASSING))]);
    let (code, told) = run(place.path(), &["--filter", "no tags"]);
    assert!(code == Some(0) && told.contains("2 passed, 0 failed"), "{told}");
    assert_eq!(run(place.path(), &["--filter", "zork"]).0, Some(2));
    assert_eq!(run(Path::new("/nonexistent"), &[]).0, Some(2));
    let none = folder(&[("shop.yaml", KEYSPACE)]);
    let (code, told) = run(none.path(), &[]);
    assert!(code == Some(0) && told.contains("holds no tests"), "{told}");
    assert_eq!(run(folder(&[]).path(), &[]).0, Some(2));
    // What is wrong with one test keeps no other from being run.
    let broken = "  - { name: a }\n  - { request: { formulas: [total] }, expect: {} }\n  - { name: b, request: { formulas: [total], steps: 1m }, expect: {} }\n";
    let broken = folder(&[("shop.yaml", KEYSPACE), ("shop.test.yaml", &tests(&format!("{PASSING}{broken}")))]);
    let (code, told) = run(broken.path(), &[]);
    assert!(code == Some(1) && told.contains("3 passed, 3 failed"), "{told}");
    for fault in
        [": a\n", ": test 5\n", ": b\n", "the test has no `request`", "the test has no `name`", "request/steps: "]
    {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert!(run(broken.path(), &["--filter", "no tags"]).1.contains("2 passed, 0 failed"), "a filter passes over them");
    let lost = folder(&[("shop.yaml", KEYSPACE), ("shopp.test.yaml", &tests(PASSING))]);
    let (code, told) = run(lost.path(), &[]);
    assert!(code == Some(1) && told.contains("there is no keyspace `shopp`"), "{told}");
}
