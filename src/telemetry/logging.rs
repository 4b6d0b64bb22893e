//! Structured logs on standard error.

use std::io;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<LogFormat, LoggingError> {
        match text {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err(LoggingError::Format(text.chars().take(40).collect())),
        }
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// No such format.
    #[error("`{0}` is not a log format: write json or text")]
    Format(String),
    /// The directives of what to log cannot be read.
    #[error("`{filter}` does not say what to log: {reason}")]
    Filter {
        /// As given.
        filter: String,
        /// Why.
        reason: String,
    },
    /// Something has already been set up.
    #[error("logging is already set up")]
    AlreadySet,
}

/// The variables that say what to log, the first that is set counts.
const VARIABLES: [&str; 2] = ["TSDB_WS_LOG", "RUST_LOG"];

/// Starts logging for the whole process. What is logged comes from `TSDB_WS_LOG`, else `RUST_LOG`, else `default_filter`
/// (such as `info`).
///
/// # Errors
/// A filter that cannot be read, or logging that was started before.
pub fn init_logging(format: LogFormat, default_filter: &str) -> Result<(), LoggingError> {
    let set = VARIABLES.into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
    let filter = filter(set.as_deref().unwrap_or(default_filter))?;
    let lines = match format {
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(io::stderr).boxed()
        }
        LogFormat::Text => fmt::layer().without_time().with_writer(io::stderr).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.try_init().map_err(|_| LoggingError::AlreadySet)
}

fn filter(directives: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(directives)
        .map_err(|error| LoggingError::Filter { filter: directives.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_filters_are_checked() {
        assert_eq!("text".parse::<LogFormat>().unwrap(), LogFormat::Text);
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("json or text"));
        assert!(filter("info,tsdb_ws=debug").is_ok());
        assert!(filter("tsdb_ws=loud").is_err());
    }
}
