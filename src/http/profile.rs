//! Profiles of the running process, in the format of pprof.

use std::time::Duration;

use axum::http::{HeaderName, Uri, header};
use axum::response::{IntoResponse, Response};
use pprof::ProfilerGuardBuilder;
use pprof::protos::Message;
use tokio::sync::Semaphore;

use super::problem::{Fault, Problem};
use crate::query::{InputError, QueryError};

/// Samples a second: not a divisor of anything that ticks.
const FREQUENCY: i32 = 99;

/// The longest profile, in seconds.
const MAX_SECONDS: u64 = 60;

/// A process has one profiling timer.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// Where the processor's time goes: samples the stacks for `seconds` (10), answers protobuf.
pub async fn cpu(uri: Uri) -> Result<Response, Problem> {
    let seconds = seconds(uri.query().unwrap_or_default())?;
    let Ok(_turn) = ONE_AT_A_TIME.try_acquire() else {
        let wait = Duration::from_secs(MAX_SECONDS);
        return Err(Problem::new(Fault::ProfileUnderWay, "one profile is taken at a time").retry_after(wait));
    };
    let failed = |error: pprof::Error| {
        tracing::error!(%error, "profile failed");
        Problem::new(Fault::Internal, "the profile could not be taken")
    };
    let frames_without_symbols = ["libc", "libgcc", "pthread", "vdso"];
    let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&frames_without_symbols);
    let guard = builder.build().map_err(failed)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Names are looked up in the debug information, which takes a while.
    let report = tokio::task::spawn_blocking(move || guard.report().build()?.pprof()).await;
    let profile = report.map_err(|_| Problem::new(Fault::Internal, "the profile was interrupted"))?.map_err(failed)?;
    Ok((download("profile.pb"), profile.encode_to_vec()).into_response())
}

fn seconds(query: &str) -> Result<u64, Problem> {
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "seconds");
    let Some((_, text)) = given else { return Ok(10) };
    match text.parse() {
        Ok(seconds) if (1..=MAX_SECONDS).contains(&seconds) => Ok(seconds),
        _ => {
            let detail = format!("must be a whole number from 1 to {MAX_SECONDS}");
            Err(QueryError::Input(vec![InputError::new("/seconds", "out_of_range", detail)]).into())
        }
    }
}

/// Where memory went that is in use: the stacks of samples of what was allocated, as compressed protobuf.
pub async fn heap() -> Result<Response, Problem> {
    let Some(profiler) = jemalloc_pprof::PROF_CTL.as_ref() else {
        let detail = "this build does not sample what it allocates: build it in the project's folder, where \
                      .cargo/config.toml sets JEMALLOC_SYS_WITH_MALLOC_CONF";
        return Err(Problem::new(Fault::NotSupported, detail));
    };
    // It is written to a file and read again.
    let dumped = tokio::task::spawn_blocking(|| profiler.blocking_lock().dump_pprof()).await;
    let profile =
        dumped.map_err(|_| Problem::new(Fault::Internal, "the profile was interrupted"))?.map_err(|error| {
            tracing::error!(%error, "profile failed");
            Problem::new(Fault::Internal, "the profile could not be taken")
        })?;
    Ok((download("heap.pb.gz"), profile).into_response())
}

fn download(name: &str) -> [(HeaderName, String); 2] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_profile_is_bounded() {
        assert_eq!(seconds("").unwrap(), 10);
        assert_eq!(seconds("seconds=60").unwrap(), 60);
        for bad in ["seconds=0", "seconds=61", "seconds=-1", "seconds=", "seconds=1.5", "seconds=99999999999999999999"]
        {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
