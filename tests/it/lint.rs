//! What `check` warns of: units, metrics that nothing uses, formulas that no test covers.

use std::process::Command;

use tsdb_ws::catalog::{compile, lint};
use tsdb_ws::diagnostic::Severity;

use crate::support::listing;

const METRICS: &str = "metrics:
  visitors: { series: a, unit: count }
  customers: { series: b, unit: count }
  revenue: { series: c, unit: currency }
  time: { series: d, unit: duration }
  size: { series: e, unit: bytes }
  orders: { series: f, unit: orders }
  plain: g
formulas:
  all: { expr: \"(visitors + customers) * revenue * time * size * orders * plain\" }
";

/// Codes and columns of what is found in one more formula.
fn found(formula: &str) -> Vec<(&'static str, usize)> {
    let text = format!("{METRICS}{formula}\n");
    let catalog = compile(&listing(&[("k.yaml", &text)]));
    assert_eq!(catalog.diagnostics, [], "{formula}");
    let found = lint(&catalog.keyspaces["k"]);
    assert!(found.iter().all(|warning| warning.hint.is_some() && warning.severity == Severity::Warning));
    found.into_iter().map(|warning| (warning.code, warning.location.column)).collect()
}

fn charted(expr: &str, unit: &str) -> Vec<(&'static str, usize)> {
    let currency = if unit == "currency" { ", currency: USD" } else { "" };
    found(&format!("  f: {{ expr: '{expr}', chart: {{ title: t, unit: {unit}{currency} }} }}"))
}

#[test]
fn a_chart_that_contradicts_the_unit_is_told() {
    for (expr, unit) in [
        ("revenue / visitors", "percent"),
        ("time", "percent"),
        ("customers / visitors", "count"),
        ("revenue", "count"),
        ("revenue * revenue", "currency"),
        ("time", "currency"),
        ("revenue", "duration"),
        ("visitors", "rate"),
        ("visitors / time * revenue", "duration"),
        ("moving_avg(sum_by(size), \"1h\")", "duration"),
        ("share(revenue)", "currency"),
    ] {
        assert_eq!(charted(expr, unit), [("unit_mismatch", 15)], "{expr} as {unit}");
    }
    for (expr, unit) in [
        ("customers / visitors", "percent"),
        ("orders / visitors", "percent"),
        ("sqrt(customers * customers) / visitors", "percent"),
        ("revenue / visitors", "currency"),
        ("(revenue / visitors) ^ 2 / revenue", "currency"),
        ("time / visitors", "duration"),
        ("rate(visitors)", "rate"),
        ("rate(plain)", "bytes"),
        ("orders + 3", "count"),
        ("coalesce(visitors, 0) - customers", "count"),
        ("if(time > 3, revenue, null)", "currency"),
        ("revenue / visitors", "number"),
    ] {
        assert_eq!(charted(expr, unit), [], "{expr} as {unit}");
    }
}

#[test]
fn a_percent_chart_of_a_hundredfold_is_told() {
    for expr in [
        "customers / visitors * 100",
        "100 * customers / visitors",
        "-round(100 * (customers / visitors))",
        "plain * 100",
        "customers / visitors * (50 + 50)",
        "customers / (visitors / 10 ^ 2)",
        "customers / visitors * 10 * 10",
        "max(customers / visitors * 100, 0)",
    ] {
        assert_eq!(charted(expr, "percent"), [("percent_times_100", 15)], "{expr}");
    }
    for expr in ["customers / visitors", "customers / (visitors * 100)", "customers * 100 / visitors / 100"] {
        assert_eq!(charted(expr, "percent"), [], "{expr}");
    }
    assert_eq!(charted("customers / visitors * 100", "number"), []);
    // Through the graph, whatever is known of units, and by a parameter that is a hundred unless the request says otherwise.
    let text = "  g: plain * 100\n  f: { expr: g, chart: { title: t, unit: percent } }";
    assert_eq!(found(text), [("percent_times_100", 14)]);
    let text = "  f: { expr: \"plain * ${n}\", chart: { title: t, unit: percent } }\nparameters: { n: { type: number, default: 100 } }";
    assert_eq!(found(text), [("percent_times_100", 15)]);
    let text = "  g: customers * 100 / visitors\n  f: { expr: g, chart: { title: t, unit: percent } }";
    assert_eq!(found(text), [("percent_times_100", 14)]);
}

#[test]
fn unlike_units_are_told_where_they_meet() {
    for (expr, column) in [
        ("visitors + revenue", 17),
        ("time - size", 13),
        ("3 * (visitors + revenue)", 22),
        ("visitors > revenue", 17),
        ("max(visitors, time)", 20),
    ] {
        assert_eq!(found(&format!("  f: {expr}")), [("unlike_units", column)], "{expr}");
    }
    for expr in [
        "visitors + customers",
        "plain + revenue",
        "visitors + 1",
        "revenue / visitors + revenue / customers",
        "1 - customers / visitors",
    ] {
        assert_eq!(found(&format!("  f: {expr}")), [], "{expr}");
    }
}

#[test]
fn metrics_that_nothing_uses_are_told() {
    let text = "parameters: { m: { type: enum, values: [a, b] } }
experiment: { tag: v, control: c, exposures: exposed }
defaults: { group_by: [v] }
metrics:
  used: s
  whole: s
  part: { series: s, part_of: whole }
  exposed: s
  clicks_${m}: s
  unused_${m}: s
formulas: { f: clicks_a / used, g: part }
";
    let catalog = compile(&listing(&[("k.yaml", text)]));
    assert!(catalog.keyspaces.contains_key("k"));
    let found: Vec<_> = catalog.diagnostics.iter().map(|warning| (warning.code, warning.location.line)).collect();
    assert_eq!(found, [("unused_metric", 10)]);
}

#[test]
fn check_tells_of_untested_formulas_and_refuses_them_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let check = |flags: &[&str]| {
        let run =
            Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).arg("check").arg(folder.path()).args(flags).output().unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    write("shop.yaml", "metrics: { m: s }\nformulas:\n  f: m\n  g: f\n  h: m\n");
    let (code, told) = check(&[]);
    assert!(
        code == Some(0) && told.contains("shop.yaml:3:3: warning[untested_formula]: the keyspace `shop` has no tests"),
        "{told}"
    );
    assert!(told.contains("0 error(s), 1 warning(s)"), "{told}");
    write(
        "shop.test.yaml",
        "tests: [{ name: t, request: { formulas: [g], from: 0, to: 60000, step: 1m }, expect: { g: { \"\": [0] } } }]\n",
    );
    let (code, told) = check(&["--require-tests"]);
    assert!(code == Some(1) && told.contains("shop.yaml:5:3: error[untested_formula]: no test covers `h`"), "{told}");
    assert!(told.contains("1 error(s), 0 warning(s)"), "{told}");
    write("shop.yaml", "metrics: { m: s }\nformulas:\n  f: m\n  g: f\n");
    assert_eq!(check(&["--require-tests"]).0, Some(0));
}
