//! How long each stage of a request took: measured once, shown in `Server-Timing` and in the metrics.

use std::time::{Duration, Instant};

/// Stages and their times, in the order in which they happened.
#[derive(Debug, Default, Clone)]
pub struct Stages(Vec<(&'static str, Duration)>);

impl Stages {
    /// Does the work and remembers how long it took.
    pub fn measure<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.record(stage, begun.elapsed());
        done
    }

    /// As [`Stages::measure`], for work that waits.
    pub async fn measure_async<T>(&mut self, stage: &'static str, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.record(stage, begun.elapsed());
        done
    }

    /// Remembers a time that was measured elsewhere.
    pub fn record(&mut self, stage: &'static str, time: Duration) {
        self.0.push((stage, time));
    }

    /// The stages so far.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        self.0.iter().copied()
    }

    /// The value of a `Server-Timing` header: `plan;dur=0.120, backend;dur=3.400`, in milliseconds.
    pub fn server_timing(&self) -> String {
        let stages = self.iter().map(|(stage, time)| format!("{stage};dur={:.3}", time.as_secs_f64() * 1e3));
        stages.collect::<Vec<String>>().join(", ")
    }
}

impl From<Stages> for Vec<(&'static str, Duration)> {
    fn from(stages: Stages) -> Self {
        stages.0
    }
}

impl Extend<(&'static str, Duration)> for Stages {
    fn extend<I: IntoIterator<Item = (&'static str, Duration)>>(&mut self, stages: I) {
        self.0.extend(stages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_are_kept_in_order_and_printed_with_three_decimals() {
        let mut stages = Stages::default();
        assert_eq!(stages.measure("plan", || 7), 7);
        assert_eq!(stages.measure_async("backend", async { 8 }).await, 8);
        stages.record("encode", Duration::from_micros(1_234));
        let names: Vec<&str> = stages.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["plan", "backend", "encode"]);
        assert!(stages.server_timing().ends_with(", encode;dur=1.234"), "{}", stages.server_timing());
    }
}
