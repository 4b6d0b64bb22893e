//! What is counted and timed, in the OpenMetrics text format.
//!
//! Labels are bounded: routes are the router's patterns, keyspaces only those that are served, everything else is an enum.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::reload::ReloadMetrics;
use super::shadow::ShadowMetrics;

/// One handled request.
#[derive(Debug, Clone, Copy)]
pub struct Handled<'a> {
    /// The pattern of the route, such as `/{keyspace}/query`; empty where none matched.
    pub route: &'a str,
    /// The keyspace, if it is one that is served; else empty.
    pub keyspace: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// From the first byte of the request to the answer.
    pub time: Duration,
}

/// How a call or a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Too late.
    Timeout,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Timeout => "timeout",
        }
    }
}

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The service's limit of requests under way.
    Overloaded,
    /// A keyspace's limit of its rate or of requests under way.
    KeyspaceLimit,
}

impl Shed {
    fn as_str(self) -> &'static str {
        match self {
            Shed::Overloaded => "overloaded",
            Shed::KeyspaceLimit => "keyspace_limit",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    keyspace: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabels {
    backend: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabel {
    backend: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabel {
    reason: &'static str,
}

pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric of the process. Shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_time: Histograms<RouteLabel>,
    in_flight: Gauge,
    stage_time: Histograms<StageLabel>,
    backend_calls: Family<BackendLabels, Counter>,
    backend_time: Histograms<BackendLabel>,
    shed: Family<ShedLabel, Counter>,
    reloads: Family<OutcomeLabel, Counter>,
    /// Those of shadows.
    pub shadow: ShadowMetrics,
    /// From a change in the repository to what is served.
    pub reload: ReloadMetrics,
}

/// From half a millisecond to 65 seconds.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 18))
}

pub(super) fn histograms<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(seconds)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            request_time: histograms(),
            in_flight: Gauge::default(),
            stage_time: histograms(),
            backend_calls: Family::default(),
            backend_time: histograms(),
            shed: Family::default(),
            reloads: Family::default(),
            shadow: ShadowMetrics::default(),
            reload: ReloadMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("tsdb_ws");
        registry.register(
            "requests",
            "Requests answered, by route, keyspace and class of status",
            self.requests.clone(),
        );
        let help = "Time to answer a request";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.request_time.clone());
        registry.register("requests_in_flight", "Requests under way", self.in_flight.clone());
        let help = "Time of each stage of a request for formulas";
        registry.register_with_unit("stage_duration", help, Unit::Seconds, self.stage_time.clone());
        registry.register("backend_calls", "Requests sent to a backend, by outcome", self.backend_calls.clone());
        let help = "Time that an answer waited for its backend";
        registry.register_with_unit("backend_duration", help, Unit::Seconds, self.backend_time.clone());
        registry.register("requests_shed", "Requests turned away by a limit", self.shed.clone());
        registry.register(
            "reloads",
            "Reloads of the repository and the configuration, by outcome",
            self.reloads.clone(),
        );
        self.shadow.register(registry);
        self.reload.register(registry);
    }

    /// All of it as text.
    pub fn encode(&self) -> String {
        self.reload.sample();
        let mut text = String::new();
        // Writing to a string cannot fail; a metric that did would end the text early, without its `# EOF`.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// Counts a request that was answered.
    pub fn handled(&self, request: Handled<'_>) {
        let status = match request.status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        let route = request.route.to_owned();
        self.request_time.get_or_create(&RouteLabel { route: route.clone() }).observe(request.time.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, keyspace: request.keyspace.to_owned(), status }).inc();
    }

    /// Counts a request as under way until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight(Arc::clone(self))
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Remembers how long a stage took.
    pub fn stage(&self, stage: &'static str, time: Duration) {
        self.stage_time.get_or_create(&StageLabel { stage }).observe(time.as_secs_f64());
    }

    /// Counts requests that were sent to a backend.
    pub fn backend_calls(&self, backend: &'static str, outcome: Outcome, calls: u64) {
        self.backend_calls.get_or_create(&BackendLabels { backend, outcome: outcome.as_str() }).inc_by(calls);
    }

    /// Remembers how long an answer waited for its backend.
    pub fn backend_time(&self, backend: &'static str, time: Duration) {
        self.backend_time.get_or_create(&BackendLabel { backend }).observe(time.as_secs_f64());
    }

    /// Counts a request that was turned away.
    pub fn shed(&self, reason: Shed) {
        self.shed.get_or_create(&ShedLabel { reason: reason.as_str() }).inc();
    }

    /// Counts a reload.
    pub fn reloaded(&self, outcome: Outcome) {
        self.reloads.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }
}

/// A request under way.
#[derive(Debug)]
pub struct InFlight(Arc<Metrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_with_their_labels() {
        let metrics = Arc::new(Metrics::default());
        let time = Duration::from_millis(3);
        metrics.handled(Handled { route: "/{keyspace}", keyspace: "shop", status: 200, time });
        metrics.handled(Handled { route: "/{keyspace}", keyspace: "shop", status: 404, time });
        metrics.stage("plan", time);
        metrics.backend_calls("embedded", Outcome::Ok, 2);
        metrics.backend_time("embedded", time);
        metrics.shed(Shed::Overloaded);
        metrics.reloaded(Outcome::Error);
        let begun = metrics.begin();
        let text = metrics.encode();
        for line in [
            "tsdb_ws_requests_total{route=\"/{keyspace}\",keyspace=\"shop\",status=\"2xx\"} 1",
            "tsdb_ws_requests_total{route=\"/{keyspace}\",keyspace=\"shop\",status=\"4xx\"} 1",
            "tsdb_ws_request_duration_seconds_count{route=\"/{keyspace}\"} 2",
            "tsdb_ws_stage_duration_seconds_count{stage=\"plan\"} 1",
            "tsdb_ws_backend_calls_total{backend=\"embedded\",outcome=\"ok\"} 2",
            "tsdb_ws_requests_shed_total{reason=\"overloaded\"} 1",
            "tsdb_ws_reloads_total{outcome=\"error\"} 1",
            "tsdb_ws_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        drop(begun);
        assert_eq!(metrics.in_flight(), 0);
    }
}
