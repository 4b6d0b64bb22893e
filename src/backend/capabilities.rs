//! What each backend can do, as data: known without a server, so that `check --backend` can tell before a switch.
//!
//! ```text
//! KAIROSDB.support(Kind::Gauge, Aggregate::Percentile(95_000))   // Raw: its points are read and folded here
//! KAIROSDB.check_mapping("{\"index\":\"x\"}")                    // an error: it reads no mapping
//! ```

use super::elasticsearch;
pub use super::remote::Names;
use crate::series::{Aggregate, Kind};

/// How a backend answers an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The database computes it, exactly.
    Pushed,
    /// Its points are read and folded here, up to the limit `raw_points`.
    Raw,
    /// Only an estimate can be had, which a metric must accept with `approximate: true`; why.
    Estimated(&'static str),
    /// It cannot be had; why.
    Unsupported(&'static str),
}

/// How each aggregate of each kind is answered. Counters and distinct counts bear one aggregate only.
#[derive(Debug, Clone, Copy)]
pub struct Aggregates {
    /// Of deltas and gauges, as are those that follow.
    pub sum: Support,
    /// Sum over count.
    pub avg: Support,
    /// The least.
    pub min: Support,
    /// The greatest.
    pub max: Support,
    /// How many points.
    pub count: Support,
    /// The value of the earliest point.
    pub first: Support,
    /// The value of the latest point.
    pub last: Support,
    /// Any percentile.
    pub percentile: Support,
    /// The increase of a counter, by stored series.
    pub counter: Support,
    /// A distinct count, which must see how many stored series a group has.
    pub distinct: Support,
}

impl Aggregates {
    const RAW: Aggregates = Aggregates {
        sum: Support::Raw,
        avg: Support::Raw,
        min: Support::Raw,
        max: Support::Raw,
        count: Support::Raw,
        first: Support::Raw,
        last: Support::Raw,
        percentile: Support::Raw,
        counter: Support::Raw,
        distinct: Support::Raw,
    };
    /// Five that nearly every database computes exactly.
    const SUMS: Aggregates = Aggregates {
        sum: Support::Pushed,
        avg: Support::Pushed,
        min: Support::Pushed,
        max: Support::Pushed,
        count: Support::Pushed,
        ..Aggregates::RAW
    };
}

/// Whether JSON text is a mapping, and what is wrong with it.
pub type CheckMapping = fn(&str) -> Result<(), String>;

/// What a backend can do.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// `embedded`, `kairosdb`, …
    pub backend: &'static str,
    /// How aggregates are answered.
    pub aggregates: Aggregates,
    /// What becomes of names.
    pub names: Names,
    /// Names of tags, as they are stored, that the backend uses itself, so that no metric can filter or group by them.
    pub reserved_tags: &'static [&'static str],
    /// What reads the entry of a metric's `backends`, as JSON text, and says what is wrong with it; `None`: nothing does.
    pub mapping: Option<CheckMapping>,
}

/// The store inside the process.
pub const EMBEDDED: Capabilities = Capabilities {
    backend: "embedded",
    aggregates: Aggregates {
        first: Support::Pushed,
        last: Support::Pushed,
        counter: Support::Pushed,
        distinct: Support::Pushed,
        ..Aggregates::SUMS
    },
    names: Names::AsTheyAre,
    reserved_tags: &[],
    mapping: None,
};

/// KairosDB: percentiles of its own are of a random sample, and its first and last know nothing of ties.
pub const KAIROSDB: Capabilities = Capabilities {
    backend: "kairosdb",
    aggregates: Aggregates::SUMS,
    names: Names::AsTheyAre,
    reserved_tags: &["_untagged"],
    mapping: None,
};

/// M3DB, read by remote read.
pub const M3DB: Capabilities = Capabilities {
    backend: "m3db",
    aggregates: Aggregates::RAW,
    names: Names::AsTheyAre,
    reserved_tags: &["__name__"],
    mapping: None,
};

/// Elasticsearch: percentiles of its own are estimates.
pub const ELASTICSEARCH: Capabilities = Capabilities {
    backend: "elasticsearch",
    aggregates: Aggregates::SUMS,
    names: Names::AsTheyAre,
    reserved_tags: &[],
    mapping: Some(elasticsearch::check_mapping),
};

/// M3DB told to write names as Prometheus does.
pub const M3DB_LEGACY: Capabilities = Capabilities { names: Names::Legacy, ..M3DB };

/// Prometheus, and what speaks its API.
pub const PROMETHEUS: Capabilities = Capabilities { backend: "prometheus", names: Names::Prometheus, ..M3DB };

impl Capabilities {
    /// How an aggregate of a kind is answered.
    pub fn support(&self, kind: Kind, aggregate: Aggregate) -> Support {
        let aggregates = &self.aggregates;
        match (kind, aggregate) {
            (Kind::Counter, _) => aggregates.counter,
            (Kind::Distinct, _) => aggregates.distinct,
            (_, Aggregate::Sum) => aggregates.sum,
            (_, Aggregate::Avg) => aggregates.avg,
            (_, Aggregate::Min) => aggregates.min,
            (_, Aggregate::Max) => aggregates.max,
            (_, Aggregate::Count) => aggregates.count,
            (_, Aggregate::First) => aggregates.first,
            (_, Aggregate::Last) => aggregates.last,
            (_, Aggregate::Percentile(_)) => aggregates.percentile,
        }
    }

    /// Whether a mapping (JSON text of an object) is one that the backend reads.
    ///
    /// # Errors
    /// What is wrong with it, and what it may hold.
    pub fn check_mapping(&self, mapping: &str) -> Result<(), String> {
        match self.mapping {
            Some(check) => check(mapping),
            None if mapping == "{}" => Ok(()),
            None => Err(format!("{} reads no mapping", self.backend)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_answers_every_aggregate_that_a_kind_bears() {
        for capabilities in [EMBEDDED, KAIROSDB, M3DB, ELASTICSEARCH, PROMETHEUS] {
            for kind in Kind::ALL {
                for aggregate in ["sum", "avg", "min", "max", "count", "first", "last", "p95"] {
                    let aggregate: Aggregate = aggregate.parse().unwrap();
                    let support = capabilities.support(kind, aggregate);
                    assert!(
                        matches!(support, Support::Pushed | Support::Raw),
                        "{} {kind:?} {aggregate}",
                        capabilities.backend
                    );
                }
            }
        }
    }

    #[test]
    fn a_mapping_is_what_its_backend_reads() {
        let whole = r#"{"index":"a-*","time_field":"@t","value_field":"v","tag_fields":{"a":"b.c"}}"#;
        assert_eq!(ELASTICSEARCH.check_mapping(whole), Ok(()));
        assert!(ELASTICSEARCH.check_mapping(r#"{"indx":"a"}"#).is_err());
        assert_eq!(KAIROSDB.check_mapping("{}"), Ok(()));
        assert!(KAIROSDB.check_mapping(r#"{"index":"a"}"#).is_err());
    }
}
