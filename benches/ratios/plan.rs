//! Planning a request, and loading a repository.

use std::hint::black_box;

use tsdb_ws::catalog::{self, Catalog};
use tsdb_ws::config::Limits;
use tsdb_ws::plan::{self, Context, Entry, Formulas, Request};
use tsdb_ws::repository::{Listing, SourceFile};

use super::measure::{Contestant, at_most, take_turns};

/// 100 formulas of a keyspace of 5,000.
pub fn plan() {
    let catalog = compiled(&[("shop", 5_000)]);
    let keyspace = &catalog.keyspaces["shop"];
    let limits = Limits::default();
    let now = 1_795_305_600_000;
    let context = Context { keyspace, backend: "embedded", allow: None, limits: &limits, now };
    let entries = (0..100).map(|index| Entry::named(format!("rate_{}", index * 47))).collect();
    let request = Request { formulas: Formulas::Entries(entries), ..Request::default() };
    let planned = plan::plan(&context, &request).unwrap();
    assert!(planned.entries.iter().all(|entry| entry.outcome.is_ok()) && planned.entries.len() == 100);
    println!("  {} selections, {} operations", planned.selections.len(), planned.program.nodes.len());
    let mut contestants = [Contestant::new("100 formulas", || drop(black_box(plan::plan(&context, &request))))];
    take_turns(&mut contestants, 201);
    at_most("milliseconds", contestants[0].times(1e3), 1.0);
}

/// 10,000 formulas in 1,000 keyspaces.
pub fn load() {
    let names: Vec<String> = (0..1_000).map(|index| format!("team-{index}")).collect();
    let keyspaces: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 10)).collect();
    let listing = listing(&keyspaces);
    let formulas = |catalog: &Catalog| -> usize {
        catalog
            .keyspaces
            .values()
            .map(|k| k.definitions.values().filter(|d| matches!(d, catalog::Definition::Formula(_))).count())
            .sum()
    };
    assert_eq!(formulas(&catalog::compile(&listing)), 10_000);
    // Catalogs are let go after the measurement, as a service lets go of the one before after it has published the next.
    let mut kept = Vec::new();
    let mut contestants = [Contestant::new("10,000 formulas", || kept.push(black_box(catalog::compile(&listing))))];
    take_turns(&mut contestants, 11);
    at_most("seconds", contestants[0].times(1.0), 1.0);
}

fn compiled(keyspaces: &[(&str, usize)]) -> Catalog {
    let catalog = catalog::compile(&listing(keyspaces));
    assert!(catalog.diagnostics.is_empty(), "{:#?}", &catalog.diagnostics[..1]);
    catalog
}

/// A folder of files for each keyspace.
fn listing(keyspaces: &[(&str, usize)]) -> Listing {
    let files = |(name, formulas): &(&str, usize)| {
        let file = |(part, text): (usize, String)| SourceFile {
            path: format!("{name}/part-{part}.yaml"),
            content: Ok(text.into_bytes()),
        };
        parts(*formulas).into_iter().enumerate().map(file).collect::<Vec<_>>()
    };
    Listing {
        revision: Some("bench".to_owned()),
        files: keyspaces.iter().flat_map(files).collect(),
        strays: Vec::new(),
    }
}

/// A keyspace as a team writes one: metrics by variation, rates of them, and parts that others use; a file for a thousand
/// formulas, as a file has its limit.
fn parts(formulas: usize) -> Vec<String> {
    let mut files = vec![String::from(
        "title: Storefront\nparameters:\n  experiment: { type: string, default: exp-1 }\n\
         defaults: { tags: { experiment: \"${experiment}\" }, group_by: [variation] }\n",
    )];
    for first in (0..formulas).step_by(1000) {
        if first > 0 {
            files.push(String::new());
        }
        let Some(text) = files.last_mut() else { continue };
        let part = first..formulas.min(first + 1000);
        text.push_str("metrics:\n");
        for index in part.clone() {
            *text += &format!("  clicks_{index}: {{ series: expo.clicks.{index}, unit: count }}\n");
        }
        text.push_str("formulas:\n");
        for index in part {
            let other = (index * 7 + 1) % formulas;
            *text += &format!(
                "  rate_{index}:\n    expr: 'if(clicks_{index} > 10, clicks_{other} / clicks_{index}, null) * \
                 moving_avg(clicks_{other}, \"1h\")'\n    description: Clicks of one part by those of another.\n    \
                 chart: {{ title: \"Rate {index} of ${{experiment}}\", unit: number, section: Rates, order: {index} }}\n"
            );
        }
    }
    files
}
