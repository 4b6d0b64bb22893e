//! Logging, metrics, stage timers, readiness. Depends on nothing else of the service.

mod logging;
mod metrics;
mod readiness;
mod reload;
mod shadow;
mod stages;

pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::{Handled, InFlight, Metrics, Outcome, Shed};
pub use readiness::Readiness;
pub use reload::{KeyspaceGauge, QueueSample, ReloadMetrics};
pub use shadow::{FormulaOutcome, ShadowMetrics, ShadowOutcome};
pub use stages::Stages;
