//! The limits of the service and of keyspaces, each with the range that it may be set to.

use super::layers::{Faults, Setting};
use super::{Limits, file, value};

/// What was said of each limit.
#[derive(Default)]
pub struct Settings {
    pub body: Option<Setting>,
    pub formulas: Option<Setting>,
    pub series: Option<Setting>,
    pub answer_points: Option<Setting>,
    pub raw_points: Option<Setting>,
    pub range: Option<Setting>,
    pub deadline: Option<Setting>,
    pub concurrency: Option<Setting>,
    pub connections: Option<Setting>,
    pub idle: Option<Setting>,
}

impl Settings {
    /// Those of a keyspace. Its `concurrency` is no limit of a request and is read apart; connections have no keyspace.
    pub fn of_keyspace(limits: &file::KeyspaceLimits, path: &str) -> Settings {
        let setting = |scalar| Setting::of_file(scalar, path);
        Settings {
            body: setting(&limits.body),
            formulas: setting(&limits.formulas),
            series: setting(&limits.series),
            answer_points: setting(&limits.answer_points),
            raw_points: setting(&limits.raw_points),
            range: setting(&limits.range),
            deadline: setting(&limits.deadline),
            concurrency: None,
            connections: None,
            idle: None,
        }
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        let counts = [&self.body, &self.formulas, &self.series, &self.answer_points, &self.raw_points];
        let others = [&self.range, &self.deadline, &self.concurrency, &self.connections, &self.idle];
        counts.into_iter().chain(others).all(Option::is_none)
    }

    /// The limits: `base` where nothing is said.
    pub fn check(&self, base: &Limits, faults: &mut Faults) -> Limits {
        Limits {
            body: faults.read(&self.body, base.body, |text| value::size(text, 1..=1 << 30)),
            formulas: faults.read(&self.formulas, base.formulas, |text| value::count(text, 1..=10_000)),
            series: faults.read(&self.series, base.series, |text| value::count(text, 1..=1_000_000)),
            answer_points: faults
                .read(&self.answer_points, base.answer_points, |text| value::count(text, 1..=100_000_000)),
            raw_points: faults.read(&self.raw_points, base.raw_points, |text| value::count(text, 1..=1_000_000_000)),
            range: faults.read(&self.range, base.range, value::step),
            deadline: faults.read(&self.deadline, base.deadline, value::deadline),
            concurrency: faults.read(&self.concurrency, base.concurrency, |text| value::count(text, 1..=100_000)),
            connections: faults.read(&self.connections, base.connections, |text| value::count(text, 1..=1_000_000)),
            idle: faults.read(&self.idle, base.idle, value::deadline),
        }
    }
}
