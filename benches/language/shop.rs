//! The shop whose formulas are evaluated: four metrics by country and variation, a value a minute.

use std::sync::Arc;

use tsdb_ws::backend::Selection;
use tsdb_ws::catalog::{self, Catalog};
use tsdb_ws::config::Limits;
use tsdb_ws::eval::{Evaluated, Extent, Input, NodeId, Program, evaluate};
use tsdb_ws::plan::{self, Context, Entry, Formulas, Request};
use tsdb_ws::repository::{Listing, SourceFile};

use super::measure::Dice;

const MINUTE: i64 = 60_000;
/// The first minute of the range.
const FROM: i64 = 29_000_000;
pub const METRICS: [&str; 4] = ["visits", "orders", "revenue", "load"];
/// Points before the range: more than the windows reach back.
pub const LEAD: usize = 120;

/// How much there is of it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Each has two series of every metric: two variations.
    pub countries: usize,
    /// Of the range.
    pub points: usize,
}

/// The stored points, a value a minute for each series of each metric; NaN where there is none.
pub struct Shop {
    pub size: Size,
    metrics: [Vec<Vec<f64>>; METRICS.len()],
}

impl Shop {
    pub fn new(size: Size) -> Shop {
        let mut dice = Dice(11);
        let mut series = |metric: usize| -> Vec<f64> {
            let mut value = || match (METRICS[metric], dice.below(100)) {
                // One minute of a hundred without a visit, one of twenty without a reading.
                ("visits", 0) => 0.0,
                ("visits", _) => dice.below(400) as f64 + 1.0,
                ("orders", roll) => (roll / 10) as f64,
                ("revenue", roll) => (roll * dice.below(10_000)) as f64 / 64.0,
                (_, 0..5) => f64::NAN,
                _ => dice.below(6_400) as f64 / 64.0,
            };
            (0..LEAD + size.points).map(|_| value()).collect()
        };
        let metrics = [0, 1, 2, 3].map(|metric| (0..size.countries * 2).map(|_| series(metric)).collect());
        Shop { size, metrics }
    }

    /// All values, metric by metric and series by series.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.metrics.iter().flatten().flatten().copied()
    }

    /// What a backend would answer.
    fn input(&self, selection: &Selection) -> Input {
        let name = selection.series.strip_prefix("shop.").unwrap();
        let metric = METRICS.iter().position(|metric| *metric == name).unwrap();
        let first = (selection.axis.from() / MINUTE - FROM + LEAD as i64) as usize;
        let group = |(index, values): (usize, &Vec<f64>)| {
            let key = vec![Arc::from(format!("c{:03}", index / 2)), Arc::from(["control", "treatment"][index % 2])];
            (key, values[first..first + selection.axis.len()].to_vec())
        };
        Input::new(self.metrics[metric].iter().enumerate().map(group))
    }
}

/// Formulas of a keyspace, planned over a shop.
pub struct Page {
    program: Program,
    outputs: Vec<NodeId>,
    inputs: Vec<Input>,
}

impl Page {
    /// All formulas of a keyspace file over the whole range.
    pub fn new(shop: &Shop, keyspace: &str, formulas: &[String]) -> Page {
        let catalog = compiled(keyspace);
        let limits = Limits { formulas: usize::MAX, answer_points: usize::MAX / 8, ..Limits::default() };
        let (from, to) = (FROM * MINUTE, (FROM + shop.size.points as i64) * MINUTE);
        let context = Context {
            keyspace: &catalog.keyspaces["shop"],
            backend: "embedded",
            allow: None,
            limits: &limits,
            now: to,
        };
        let request = Request {
            formulas: Formulas::Entries(formulas.iter().map(|name| Entry::named(name.as_str())).collect()),
            from: Some(from.into()),
            to: Some(to.into()),
            step: Some("1m".parse().unwrap()),
            ..Request::default()
        };
        let plan = plan::plan(&context, &request).unwrap();
        Page {
            outputs: plan.entries.iter().map(|entry| entry.outcome.as_ref().unwrap().output).collect(),
            inputs: plan.selections.iter().map(|selection| shop.input(selection)).collect(),
            program: plan.program,
        }
    }

    pub fn evaluate(&self) -> Vec<Evaluated> {
        evaluate(&self.program, &self.outputs, &self.inputs, Extent::Buckets, i64::MAX).outputs
    }
}

fn compiled(keyspace: &str) -> Catalog {
    let file = SourceFile { path: "shop.yaml".to_owned(), content: Ok(keyspace.as_bytes().to_vec()) };
    let catalog =
        catalog::compile(&Listing { revision: Some("bench".to_owned()), files: vec![file], ..Listing::default() });
    assert!(catalog.keyspaces.contains_key("shop"), "{:#?}", catalog.diagnostics);
    catalog
}
