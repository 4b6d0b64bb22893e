//! `check --live`: what the files read and the database does not hold, and what the same change adds.

use std::path::Path;

use serde_json::Value;
use tsdb_ws::backend::Backend;
use tsdb_ws::backend::embedded::EmbeddedStore;

use crate::support::point;
use crate::support::process::Place;
use crate::support::reload::git;

const SHOP: &str = r#"
parameters:
  experiment: { type: string }
  platform: { type: string, optional: true }
  module: { type: enum, values: [hero, search] }
metrics:
  visitors: { series: shop.visitors, tags: { experiment: "${experiment}", platform: "${platform}" }, group_by: [variation] }
  clicks_${module}: { series: "shop.clicks.${module}", tags: { place: top } }
  any: "shop.${experiment}"
formulas:
  a: { expr: visitors, chart: { title: A } }
  b: { expr: "clicks_${module}", chart: { title: "B: ${module}" } }
  c: { expr: any, chart: { title: C } }
"#;

/// A folder with a keyspace and a store that holds all that it reads.
async fn place() -> Place {
    let place = Place::with(&[("formulas/shop.yaml", SHOP)]);
    let store = EmbeddedStore::open(place.path().join("tsdb-ws.db")).unwrap();
    let points = [
        point("shop.visitors", "experiment=e,platform=ios,variation=control", 60_000, 1.0),
        point("shop.clicks.hero", "place=top", 60_000, 1.0),
        point("shop.clicks.search", "place=top", 60_000, 1.0),
    ];
    store.write(&points).await.unwrap();
    place
}

/// The exit status, and each finding as `severity code line message | hint`, but for missing tests.
fn live(place: &Place, arguments: &[&str]) -> (i32, Vec<String>) {
    let output = place.run(&[&["check", "formulas", "--live", "--format", "json"], arguments].concat());
    let told = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> =
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)));
    let line = |found: &Value| {
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {} {} | {}", text("severity"), text("code"), found["line"], text("message"), text("hint"))
    };
    let about = found.iter().filter(|found| found["code"] != "untested_formula");
    (output.status.code().unwrap(), about.map(line).collect())
}

fn edit(place: &Place, from: &str, to: &str) {
    assert!(SHOP.contains(from));
    place.write("formulas/shop.yaml", SHOP.replace(from, to));
}

#[tokio::test]
async fn what_is_stored_is_found_and_what_is_not_is_told() {
    let place = place().await;
    assert_eq!(live(&place, &[]), (0, Vec::new()));
    let cases: [(&str, &str, i32, &str); 8] = [
        (
            "shop.visitors, tags",
            "shop.vistors, tags",
            1,
            "error unknown_stored_series 7 embedded holds no stored series `shop.vistors`, which `visitors` reads; read by a \
             | did you mean `shop.visitors`?",
        ),
        (
            "[hero, search]",
            "[hero, footer]",
            1,
            "error unknown_stored_series 8 embedded holds no stored series `shop.clicks.footer`, which `clicks_footer` \
             reads; read by b | mend the name, or store the series; if this change adds it, name by --base what it is \
             compared with",
        ),
        (
            "shop.${experiment}",
            "web.${experiment}",
            1,
            "error unknown_stored_series 9 embedded holds no stored series like `web.${experiment}`, which `any` reads; \
             read by c | mend the name, or store the series; if this change adds it, name by --base what it is compared with",
        ),
        (
            "{ experiment: \"${experiment}\", ",
            "{ experimnt: \"${experiment}\", ",
            1,
            "error unknown_stored_tag 7 no stored series `shop.visitors` of embedded bears the tag `experimnt`, which \
             `visitors` is filtered by; read by a | did you mean `experiment`?",
        ),
        // Without the optional parameter there is an answer, and so there is without groups.
        (
            "platform: \"${platform}\"",
            "browser: \"${platform}\"",
            0,
            "warning unknown_stored_tag 7 no stored series `shop.visitors` of embedded bears the tag `browser`, which \
             `visitors` is filtered by; read by a | it bears `experiment`, `platform`, `variation`",
        ),
        (
            "group_by: [variation]",
            "group_by: [variant]",
            0,
            "warning unknown_stored_tag 7 no stored series `shop.visitors` of embedded bears the tag `variant`, which \
             `visitors` is grouped by; read by a | it bears `experiment`, `platform`, `variation`",
        ),
        (
            "place: top",
            "place: bottom",
            0,
            "warning unknown_stored_value 8 no stored series `shop.clicks.hero` of embedded has `bottom` for the tag \
             `place`, which `clicks_hero` is filtered by; read by b | it has `top`",
        ),
        // What no formula reads fails nothing.
        (
            "  any: \"shop.${experiment}\"",
            "  any: \"shop.${experiment}\"\n  more: nothing",
            0,
            "warning unknown_stored_series 10 embedded holds no stored series `nothing`, which `more` reads; no formula \
             reads it | mend the name, or store the series; if this change adds it, name by --base what it is compared with",
        ),
    ];
    for (from, to, status, told) in cases {
        edit(&place, from, to);
        let (found_status, found) = live(&place, &[]);
        assert!(found.contains(&told.to_owned()), "{told}\nis not in\n{}", found.join("\n"));
        assert_eq!(found_status, status, "{found:#?}");
    }
}

#[tokio::test]
async fn what_the_same_change_adds_may_come_before_its_data() {
    let place = place().await;
    let new = "  any: \"shop.${experiment}\"\n  orders: { series: shop.orders, group_by: [variation] }";
    let with = |formula: &str| format!("{new}\nformulas:\n  d: {formula}");
    edit(&place, "  any: \"shop.${experiment}\"\nformulas:", &with("orders"));
    let (status, found) = live(&place, &[]);
    assert!(
        status == 1 && found[0].starts_with("error unknown_stored_series 10"),
        "no base, nothing is new: {found:?}"
    );
    let added = "warning unknown_stored_series 10 embedded holds no stored series `shop.orders`, which `orders` reads; read \
                 by d | have it stored before the formulas are looked at";
    // Another directory is the base.
    place.write("before/shop.yaml", SHOP);
    assert_eq!(live(&place, &["--base", "before"]), (0, vec![added.to_owned()]));
    // So is a revision, and the last commit where nothing else is named.
    git(place.path(), &["init", "--quiet"]);
    place.write("formulas/shop.yaml", SHOP);
    git(place.path(), &["add", "formulas"]);
    git(place.path(), &["commit", "--quiet", "-m", "one"]);
    edit(&place, "  any: \"shop.${experiment}\"\nformulas:", &with("orders"));
    assert_eq!(live(&place, &[]), (0, vec![added.to_owned()]));
    git(place.path(), &["commit", "--quiet", "-a", "-m", "two"]);
    assert_eq!(live(&place, &[]).0, 1, "the last commit reads it");
    assert_eq!(live(&place, &["--base", "HEAD^"]), (0, vec![added.to_owned()]));
    // What was read before and is not there is an error, whatever the change adds.
    place.write("formulas/other.yaml", "metrics: { v: web.v, o: web.o }\nformulas: { f: v, g: o }\n");
    git(place.path(), &["add", "formulas"]);
    git(place.path(), &["commit", "--quiet", "-m", "three"]);
    place.write("formulas/other.yaml", "metrics: { v: web.v, o: web.p }\nformulas: { f: v, g: o }\n");
    let (status, found) = live(&place, &[]);
    let severities: Vec<&str> = found.iter().map(|found| &found[..7]).collect();
    assert_eq!((status, severities), (1, vec!["error u", "warning", "error u"]), "{found:#?}");
}

#[tokio::test]
async fn it_says_so_in_every_format_and_what_cannot_be_asked_is_no_finding() {
    let place = place().await;
    edit(&place, "shop.visitors, tags", "shop.vistors, tags");
    let run = |arguments: &[&str]| {
        let output = place.run(&[&["check", "formulas", "--live"], arguments].concat());
        let told = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), told)
    };
    let (status, told) = run(&["--format", "github"]);
    assert!(status == 1 && told.contains("::error file=formulas/shop.yaml,line=7,col="), "{told}");
    let (status, told) = run(&[]);
    assert!(status == 1 && told.contains("formulas/shop.yaml:7:") && told.contains("hint: did you mean"), "{told}");
    for (arguments, words) in [
        (&["--store", "nothing.db"][..], "there is no store nothing.db to look at"),
        (&["--backend", "kairosdb", "--kairosdb-url", "http://127.0.0.1:9"], "cannot see what kairosdb holds"),
        (&["--base", "nowhere"], "`nowhere` is neither a directory nor a revision"),
    ] {
        let (status, told) = run(arguments);
        assert!(status == 2 && told.contains(words), "{told}");
    }
    assert!(!Path::new(&place.path().join("nothing.db")).exists(), "looking makes no store");
}
