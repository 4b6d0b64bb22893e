//! What the reads of shadows come to, by keyspace and formula.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{Histograms, histograms};

/// How a read of a shadow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowOutcome {
    /// It was compared.
    Compared,
    /// The shadow failed.
    Error,
    /// The shadow was too slow.
    Timeout,
    /// It was never sent: as many as the limits allow waited already.
    Dropped,
}

impl ShadowOutcome {
    fn as_str(self) -> &'static str {
        match self {
            ShadowOutcome::Compared => "compared",
            ShadowOutcome::Error => "error",
            ShadowOutcome::Timeout => "timeout",
            ShadowOutcome::Dropped => "dropped",
        }
    }
}

/// What the comparison of a formula came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormulaOutcome {
    /// All that it reads is the same.
    Agrees,
    /// It is not.
    Differs,
    /// The shadow could not answer it.
    Failed,
}

impl FormulaOutcome {
    fn as_str(self) -> &'static str {
        match self {
            FormulaOutcome::Agrees => "agrees",
            FormulaOutcome::Differs => "differs",
            FormulaOutcome::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReadLabels {
    keyspace: String,
    shadow: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FormulaLabels {
    keyspace: String,
    formula: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DifferenceLabels {
    keyspace: String,
    formula: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    keyspace: String,
    backend: &'static str,
    side: &'static str,
}

/// The metrics of shadows.
#[derive(Debug)]
pub struct ShadowMetrics {
    reads: Family<ReadLabels, Counter>,
    formulas: Family<FormulaLabels, Counter>,
    differences: Family<DifferenceLabels, Counter>,
    time: Histograms<TimeLabels>,
}

impl Default for ShadowMetrics {
    fn default() -> ShadowMetrics {
        ShadowMetrics {
            reads: Family::default(),
            formulas: Family::default(),
            differences: Family::default(),
            time: histograms(),
        }
    }
}

impl ShadowMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("shadow_reads", "Reads of a shadow, by keyspace and outcome", self.reads.clone());
        let help = "Formulas compared with a shadow, by keyspace, formula and result";
        registry.register("shadow_formulas", help, self.formulas.clone());
        let help = "Differences from a shadow, by keyspace, formula and kind: values, missing series, missing buckets";
        registry.register("shadow_differences", help, self.differences.clone());
        let help = "Time of the same read on a keyspace's own database (primary) and on its shadow";
        registry.register_with_unit("shadow_duration", help, Unit::Seconds, self.time.clone());
    }

    /// Counts a read.
    pub fn read(&self, keyspace: &str, shadow: &'static str, outcome: ShadowOutcome) {
        let labels = ReadLabels { keyspace: keyspace.to_owned(), shadow, outcome: outcome.as_str() };
        self.reads.get_or_create(&labels).inc();
    }

    /// Remembers how long the same read took on both.
    pub fn times(&self, keyspace: &str, primary: (&'static str, Duration), shadow: (&'static str, Duration)) {
        for (side, (backend, time)) in [("primary", primary), ("shadow", shadow)] {
            let labels = TimeLabels { keyspace: keyspace.to_owned(), backend, side };
            self.time.get_or_create(&labels).observe(time.as_secs_f64());
        }
    }

    /// Counts a formula that was compared.
    pub fn formula(&self, keyspace: &str, formula: &str, outcome: FormulaOutcome) {
        let (keyspace, formula) = (keyspace.to_owned(), formula.to_owned());
        self.formulas.get_or_create(&FormulaLabels { keyspace, formula, result: outcome.as_str() }).inc();
    }

    /// Counts what differs in a formula.
    pub fn differences(&self, keyspace: &str, formula: &str, kind: &'static str, count: usize) {
        let (keyspace, formula) = (keyspace.to_owned(), formula.to_owned());
        self.differences.get_or_create(&DifferenceLabels { keyspace, formula, kind }).inc_by(count as u64);
    }
}
