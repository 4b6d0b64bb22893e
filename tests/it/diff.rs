//! `diff`: over a history of ten commits exactly the formulas whose meaning changed and all that they reach; values; reports.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const FIRST: &str = "parameters:
  module: { type: enum, values: [hero, search] }
  least: { type: number, default: 5 }
metrics:
  visitors: { series: shop.visitors, group_by: [v] }
  customers: { series: shop.customers, group_by: [v] }
  clicks_${module}: { series: shop.clicks, tags: { module: \"${module}\" }, group_by: [v] }
formulas:
  conversion: { expr: customers / visitors, chart: { title: Conversion } }
  lifted: lift(conversion, \"v\", \"control\")
  sum: visitors + customers
  click_rate: clicks_${module} / visitors
  searches: clicks_search
  enough: if(visitors > ${least}, conversion, null)
  smooth: moving_sum(visitors, \"60m\")
";

/// What each commit replaces in the file before it, and which formulas then change and are reached.
type Step = (&'static [(&'static str, &'static str)], &'static [&'static str], &'static [&'static str]);
const HISTORY: [Step; 10] = [
    // Formatting, parentheses, comments, the order of what is added or compared, the unit of a window: nothing.
    (
        &[
            ("expr: customers / visitors", "expr: \"(customers)/( visitors )\""),
            ("sum: visitors + customers", "sum: customers+visitors # the same"),
            ("visitors > ${least}", "(${least}) < visitors"),
            ("60m", "1h"),
        ],
        &[],
        &[],
    ),
    (&[("\"(customers)/( visitors )\"", "\"customers / max(visitors, 1)\"")], &["conversion"], &["enough", "lifted"]),
    // A chart alone.
    (&[("title: Conversion }", "title: Rate, unit: percent }")], &[], &[]),
    // A metric that one formula reads through an enum, and one by its name.
    (&[("series: shop.clicks,", "series: shop.taps,")], &["click_rate", "searches"], &[]),
    // A part taken out under a name of its own: nothing but the new name.
    (&[("  lifted: lift(conversion,", "  base: conversion\n  lifted: lift(base,")], &[], &[]),
    (&[("default: 5 }", "default: 6 }")], &["enough"], &[]),
    (
        &[("series: shop.customers,", "series: shop.customers, fill: none,")],
        &["conversion", "sum"],
        &["base", "enough", "lifted"],
    ),
    (&[("  searches: clicks_search\n", "")], &[], &[]),
    // The metric renamed, with all that refer to it: nothing.
    (
        &[
            ("  customers: {", "  buyers: {"),
            ("expr: \"customers /", "expr: \"buyers /"),
            ("customers+visitors", "buyers+visitors"),
        ],
        &[],
        &[],
    ),
    (
        &[("\"v\", \"control\")", "\"v\", \"treatment\")"), ("base: conversion", "base: conversion * 2")],
        &["base", "lifted"],
        &[],
    ),
];

fn git(place: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"];
    let run = Command::new("git").arg("-C").arg(place).args(identity).args(arguments).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn diff(place: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let formulas = place.join("config/formulas");
    let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"))
        .args(["diff", "--formulas"])
        .arg(formulas)
        .args(arguments)
        .current_dir(place)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (run.status.code(), text(run.stdout), text(run.stderr))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().or(item.as_str()).unwrap()).collect()
}

/// A repository whose formulas lie in a folder of it, beside other files, with the history above.
fn repository() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(place.path().join("config/formulas")).unwrap();
    std::fs::write(place.path().join("config/other.yaml"), "not: a keyspace\n").unwrap();
    git(place.path(), &["init", "-q"]);
    let mut text = FIRST.to_owned();
    commit(place.path(), &text);
    for (replacements, ..) in HISTORY {
        for (before, after) in replacements {
            assert!(text.contains(before), "{before}\n{text}");
            text = text.replace(before, after);
        }
        commit(place.path(), &text);
    }
    place
}

fn commit(place: &Path, text: &str) {
    std::fs::write(place.join("config/formulas/shop.yaml"), text).unwrap();
    git(place, &["add", "-A"]);
    git(place, &["commit", "-q", "--allow-empty", "-m", "x"]);
}

#[test]
fn a_history_of_ten_commits_names_exactly_what_changed_and_what_that_reaches() {
    let place = repository();
    for (index, (replacements, changed, reached)) in HISTORY.iter().enumerate() {
        let before = HISTORY.len() - index;
        let (base, head) = (format!("HEAD~{before}"), format!("HEAD~{}", before - 1));
        let (code, told, complaints) = diff(place.path(), &[&base, &head, "--format", "json"]);
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{complaints}"));
        let shop = &told["keyspaces"]["shop"];
        assert_eq!(names(&shop["changed"]), *changed, "{replacements:?}: {told}");
        assert_eq!(names(&shop["reached"]), *reached, "{replacements:?}: {told}");
        if index == 5 {
            assert_eq!(shop["changed"][0]["parameters"], json!(["least"]));
        }
        let (added, removed): (&[&str], &[&str]) = match index {
            4 => (&["base"], &[]),
            7 => (&[], &["searches"]),
            _ => (&[], &[]),
        };
        assert_eq!((names(&shop["added"]), names(&shop["removed"])), (added.to_vec(), removed.to_vec()));
        assert_eq!(names(&shop["presentation"]), if index == 2 { vec!["conversion"] } else { vec![] });
        let silent = changed.is_empty() && added.is_empty() && removed.is_empty();
        assert_eq!(code, Some(i32::from(!silent)), "{replacements:?}");
    }
    // Over the whole history, and to the files as they are now.
    let (code, told, _) = diff(place.path(), &["HEAD~10"]);
    assert_eq!(code, Some(1));
    for line in ["  changed  conversion  (shop.yaml:", "  changed  enough", "  added    base", "  removed  searches"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert_eq!(diff(place.path(), &["HEAD"]).0, Some(0));
    // Directories as well; what is neither is told.
    let (code, ..) = diff(place.path(), &["config/formulas", "config/formulas"]);
    assert_eq!(code, Some(0));
    for wrong in ["zork", "--output=x", "HEAD:config"] {
        let (code, _, complaints) = diff(place.path(), &["--", wrong]);
        assert!(code == Some(2) && complaints.contains("neither a directory nor a revision"), "{wrong}: {complaints}");
    }
    std::fs::write(place.path().join("config/formulas/shop.yaml"), "formulas: { f: zork }\n").unwrap();
    let (code, _, complaints) = diff(place.path(), &["HEAD"]);
    assert!(code == Some(2) && complaints.contains("the head has errors"), "{complaints}");
}

#[test]
fn what_is_as_it_was_is_reached_and_how_a_sum_is_written_does_not_matter() {
    let place = tempfile::tempdir().unwrap();
    let metrics = "metrics: { a: { series: s.a, group_by: [x] }, b: { series: s.b, group_by: [x] } }\n";
    let told = |before: &str, after: &str| -> Value {
        for (folder, formulas) in [("old", before), ("new", after)] {
            std::fs::create_dir_all(place.path().join(folder)).unwrap();
            let text = format!("{metrics}formulas: {{ {formulas} }}\n");
            std::fs::write(place.path().join(folder).join("k.yaml"), text).unwrap();
        }
        let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"))
            .args(["diff", "old", "new", "--format", "json"])
            .current_dir(place.path())
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        told["keyspaces"]["k"].clone()
    };
    // A formula that is another name for a metric changes alone, also where its new or old meaning is found elsewhere.
    for (before, after) in [("a", "b"), ("a", "a * 2"), ("a / b", "a")] {
        let others = "y: z + 1, w: y * 2";
        let changes = told(&format!("z: {before}, {others}"), &format!("z: {after}, {others}"));
        assert_eq!((names(&changes["changed"]), names(&changes["reached"])), (vec!["z"], vec!["w", "y"]), "{changes}");
    }
    for (before, after) in [
        ("f: a * b * 2", "f: 2 * b * a"),
        ("f: a + (b + 1)", "f: (a + b) + 1"),
        ("p: a + b, f: p + 1", "p: b + a, f: 1 + b + a"),
        ("p: a + b, f: p + 1", "f: 1 + b + a"),
        ("f: a * (b + 1)", "f: (1 + b) * a"),
    ] {
        let changes = told(before, after);
        assert_eq!((names(&changes["changed"]), names(&changes["reached"])), (vec![], vec![]), "{before} → {after}");
    }
    let doubled: Vec<String> = (1..80).map(|i| format!("d{i}: d{0} + d{0}", i - 1)).collect();
    let doubled = doubled.join(", ");
    let changes = told(&format!("d0: a + b, {doubled}"), &format!("d0: a, {doubled}"));
    assert_eq!((names(&changes["changed"]), names(&changes["reached"]).len()), (vec!["d0"], 79));
    for (before, after) in
        [("f: a - b - 1", "f: a - (b - 1)"), ("f: a * b + 1", "f: a * (b + 1)"), ("f: a + a", "f: a")]
    {
        assert_eq!(names(&told(before, after)["changed"]), ["f"], "{before} → {after}");
    }
}

#[test]
fn both_sides_are_shown_over_real_data_in_a_page_that_stands_alone() {
    let place = tempfile::tempdir().unwrap();
    for (folder, expr) in [("old", "customers / visitors"), ("new", "visitors / customers")] {
        std::fs::create_dir(place.path().join(folder)).unwrap();
        let text = format!(
            "metrics:\n  visitors: {{ series: s, group_by: [v] }}\n  customers: {{ series: t, group_by: [v] }}\n\
             formulas:\n  f: {expr}\n  g: f + 1\n  h: visitors\n"
        );
        std::fs::write(place.path().join(folder).join("shop.yaml"), text).unwrap();
    }
    let points = "series,timestamp,value,v\ns,0,10,<a&b>\ns,60000,10,<a&b>\nt,0,5,<a&b>\nt,60000,10,<a&b>\n";
    std::fs::write(place.path().join("points.csv"), points).unwrap();
    let store = place.path().join("store.db");
    let store = store.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_tsdb-ws");
    let load = Command::new(program).args(["load", "points.csv", "--store", store]).current_dir(place.path()).status();
    assert!(load.unwrap().success());
    let window = ["--backend", "embedded", "--store", store, "--from", "0", "--to", "120000", "--step", "1m"];
    let run = |format: &str| {
        let run = Command::new(program)
            .args(["diff", "old", "new", "--report", "report.html", "--format", format])
            .args(window)
            .current_dir(place.path())
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let told: Value = serde_json::from_str(&run("json")).unwrap();
    let values = &told["values"];
    assert_eq!((names(&told["keyspaces"]["shop"]["changed"]), values.as_array().unwrap().len()), (vec!["f"], 2));
    let expected = json!([{ "series": "v=<a&b>", "before": 0.75, "after": 20.0 / 15.0, "differing": 1, "points": 2 }]);
    assert_eq!((&values[0]["formula"], &values[0]["series"]), (&json!("f"), &expected));
    assert!(run("human").contains("  v=<a&b>  0.75  1.3333333333333333  1 of 2"));
    let page = std::fs::read_to_string(place.path().join("report.html")).unwrap();
    assert_eq!((page.matches("<svg").count(), page.matches("<path").count()), (2, 4), "{page}");
    assert!(page.contains("v=&lt;a&amp;b&gt;") && !page.contains("<a&b>"));
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("src="), "an outside address");
    // Without its database there is no comparison.
    let dead = ["diff", "old", "new", "--backend", "kairosdb", "--kairosdb-url", "http://127.0.0.1:9"];
    let run = Command::new(program).args(dead).current_dir(place.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(2), "{}", String::from_utf8_lossy(&run.stderr));
    // A report needs a database.
    let run = Command::new(program).args(["diff", "old", "new", "--report", "x"]).current_dir(place.path()).output();
    assert_eq!(run.unwrap().status.code(), Some(2));
}
