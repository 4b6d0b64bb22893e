//! The step that a request over the limit of its answer is told: one that was tried.
//!
//! How many series a request has is only known once they were read. A plan over the limit is refused before that, and the
//! step that it names fits if each formula is one series; so that step is tried, which costs no more than a request that
//! fits, and a coarser one if need be.

use std::sync::Arc;

use super::service::Snapshot;
use super::shadow::Shadow;
use super::{Answer, LimitExceeded, QueryError, Request, pipeline};
use crate::plan;

/// Steps that are tried: after the first the number of series is known.
const TRIES: usize = 3;

/// Answers a request.
pub async fn answer(snapshot: Snapshot, request: &Request, shadow: &Arc<Shadow>) -> Result<Answer, QueryError> {
    match pipeline::answer(snapshot.clone(), request, shadow).await {
        Err(QueryError::LimitExceeded(limit)) if limit.step.is_some() => {
            Err(proven(&snapshot, request, limit).await.into())
        }
        answered => answered,
    }
}

/// The same error with a step that fits.
async fn proven(snapshot: &Snapshot, request: &Request, limit: LimitExceeded) -> LimitExceeded {
    // What is tried is nobody's answer, so that no shadow reads it along: this one was never started.
    let none = Arc::default();
    let mut fitting = limit.clone();
    for _ in 0..TRIES {
        let Some(step) = fitting.step else { break };
        let coarser = Request { step: Some(step), ..request.clone() };
        match pipeline::answer(snapshot.clone(), &coarser, &none).await {
            Ok(_) => break,
            Err(QueryError::LimitExceeded(next)) => fitting.step = next.step,
            // The backend fails at this moment: what the plan says is all that is known.
            Err(_) => return limit,
        }
    }
    plan::answer_points_limit(limit.value, limit.maximum, fitting.step)
}
