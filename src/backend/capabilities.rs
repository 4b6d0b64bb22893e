//! What each backend can do, as data: known without a server, so that `check --backend` can tell before a switch.
//!
//! ```text
//! KAIROSDB.support(Kind::Gauge, Aggregate::Percentile(95_000))   // Raw: its points are read and folded here
//! KAIROSDB.check_mapping("{\"index\":\"x\"}")                    // an error that says what a mapping may hold
//! ```

use std::borrow::Cow;

use serde_json::Value;

use super::elasticsearch;
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

/// What becomes of stored names and of the names of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They are kept as they are.
    Kept,
    /// Characters beyond `[A-Za-z0-9_:]` become `_`.
    Legacy,
}

/// Says what is wrong with a mapping.
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
    /// Names of tags that the backend uses itself, so that no metric can filter or group by them.
    pub reserved_tags: &'static [&'static str],
    /// Reads the entry of a metric's `backends`; `None`: the backend reads none.
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
    names: Names::Kept,
    reserved_tags: &[],
    mapping: None,
};

/// KairosDB: percentiles of its own are of a random sample, and its first and last know nothing of ties.
pub const KAIROSDB: Capabilities = Capabilities {
    backend: "kairosdb",
    aggregates: Aggregates::SUMS,
    names: Names::Kept,
    reserved_tags: &["_untagged"],
    mapping: None,
};

/// M3DB, read by remote read.
pub const M3DB: Capabilities = Capabilities {
    backend: "m3db",
    aggregates: Aggregates::RAW,
    names: Names::Kept,
    reserved_tags: &["__name__"],
    mapping: None,
};

/// Elasticsearch: percentiles of its own are estimates.
pub const ELASTICSEARCH: Capabilities = Capabilities {
    backend: "elasticsearch",
    aggregates: Aggregates::SUMS,
    names: Names::Kept,
    reserved_tags: &[],
    mapping: Some(elasticsearch::check_mapping),
};

/// M3DB told to write names as Prometheus does.
pub const M3DB_LEGACY: Capabilities = Capabilities { names: Names::Legacy, ..M3DB };

/// Prometheus, and what speaks its API.
pub const PROMETHEUS: Capabilities = Capabilities { backend: "prometheus", ..M3DB_LEGACY };

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

    /// A stored name, or the name of a tag, as the backend writes it.
    pub fn stored_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match self.names {
            Names::Kept => Cow::Borrowed(name),
            Names::Legacy => legacy_name(name),
        }
    }

    /// Whether a mapping (JSON text of an object; empty: none) is one that the backend reads.
    ///
    /// # Errors
    /// What is wrong with it, and what it may hold.
    pub fn check_mapping(&self, mapping: &str) -> Result<(), String> {
        if mapping.is_empty() {
            return Ok(());
        }
        if let Some(check) = self.mapping {
            return check(mapping);
        }
        match serde_json::from_str(mapping) {
            Ok(Value::Object(entries)) => match entries.keys().next() {
                Some(key) => {
                    let shown: String = key.chars().take(60).collect();
                    Err(format!("{} reads no mapping, so that `{shown}` means nothing", self.backend))
                }
                None => Ok(()),
            },
            _ => Err(format!("{} reads no mapping", self.backend)),
        }
    }
}

/// A name in which characters beyond `[A-Za-z0-9_:]` are `_`.
pub fn legacy_name(name: &str) -> Cow<'_, str> {
    let kept = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    if name.chars().all(kept) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|letter| if kept(letter) { letter } else { '_' }).collect())
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
    fn names_are_legacy_on_prometheus_and_where_m3db_is_told_so() {
        let stored = |backend: Capabilities| backend.stored_name("expo.größe-1:x").into_owned();
        for backend in [PROMETHEUS, M3DB_LEGACY] {
            assert_eq!(stored(backend), "expo_gr__e_1:x");
        }
        for backend in [EMBEDDED, KAIROSDB, M3DB, ELASTICSEARCH] {
            assert_eq!(stored(backend), "expo.größe-1:x");
        }
    }

    #[test]
    fn a_mapping_is_what_its_backend_reads() {
        let whole =
            r#"{"index":"a-*","time_field":"@t","value_field":"v","filter":{"term":{}},"tag_fields":{"a":"b.c"}}"#;
        assert_eq!(ELASTICSEARCH.check_mapping(whole), Ok(()));
        assert_eq!(ELASTICSEARCH.check_mapping(""), Ok(()));
        assert_eq!(KAIROSDB.check_mapping("{}"), Ok(()));
        for (backend, mapping, said) in [
            (ELASTICSEARCH, r#"{"indx":"a"}"#, "no key `indx`; there are index, time_field"),
            (ELASTICSEARCH, r#"{"index":7}"#, "elasticsearch: index must be the name"),
            (ELASTICSEARCH, r#"{"tag_fields":{"a":1}}"#, "each of tag_fields"),
            (ELASTICSEARCH, r#""x""#, "must be a mapping"),
            (KAIROSDB, r#"{"index":"a"}"#, "reads no mapping"),
        ] {
            let fault = backend.check_mapping(mapping).unwrap_err();
            assert!(fault.contains(said), "{fault}");
        }
    }
}
