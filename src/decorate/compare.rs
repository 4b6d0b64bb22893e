//! The variations of an experiment against its control, and whether the traffic was split as declared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Warning;
use crate::catalog::Experiment;
use crate::eval::Evaluated;
use crate::eval::statistics::{self, Proportion};
use crate::plan::{PlannedComparison, Proportionality};

/// Below this p-value the split is reported as wrong: a false alarm in a thousand.
const MISMATCH: f64 = 0.001;
/// Without an interval a control is near zero where the difference is so many times of it.
const HUGE_LIFT: f64 = 1e6;

/// A variation against the control, over the range. What could not be told is `None`, and `reason` says why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The variation's summary less the control's.
    pub difference: Option<f64>,
    /// The difference over the control's size.
    pub lift: Option<f64>,
    /// The 95 % interval of the difference.
    pub interval: Option<(f64, f64)>,
    /// The 95 % interval of the lift.
    pub lift_interval: Option<(f64, f64)>,
    /// Of the test that there is no difference.
    pub p_value: Option<f64>,
    /// A stable identifier: `no_data`, `no_control`, `not_a_proportion`, `not_the_exposures`, `too_few`, `near_zero`.
    pub reason: Option<&'static str>,
}

/// Whether what was assigned to the variations fits the declared split.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRatio {
    /// What was counted.
    pub metric: String,
    /// By variation.
    pub observed: Vec<(String, f64)>,
    /// By variation.
    pub expected: Vec<(String, f64)>,
    /// Of the chi-squared test; `None` where the counts are too few.
    pub p_value: Option<f64>,
    /// Whether the p-value is under 0.001.
    pub mismatch: bool,
}

/// What was evaluated for a comparison, over the range as one bucket.
pub struct Sides {
    /// What is divided.
    pub numerator: Evaluated,
    /// What it is divided by.
    pub denominator: Evaluated,
    /// What was assigned, and the names of its tags.
    pub exposures: (Evaluated, Arc<[String]>),
}

type Key = Vec<Arc<str>>;
type Values<'e> = BTreeMap<&'e Key, f64>;

/// The series of one formula, compared with one another.
pub struct Comparer<'a> {
    experiment: &'a Experiment,
    /// Where the experiment's tag stands in a key.
    place: usize,
    summaries: Values<'a>,
    numerators: Values<'a>,
    denominators: Values<'a>,
    /// Why nothing is tested; the same for every series.
    untested: Option<&'static str>,
}

impl<'a> Comparer<'a> {
    /// `tags` are those of the formula. `None` where the experiment's is not among them, which the plan sees to.
    pub fn new(
        experiment: &'a Experiment,
        planned: &'a PlannedComparison,
        tags: &[String],
        summaries: &'a Evaluated,
        sides: &'a Sides,
    ) -> Option<Comparer<'a>> {
        let place = tags.iter().position(|tag| *tag == experiment.tag)?;
        let mut comparer = Comparer {
            experiment,
            place,
            summaries: values(summaries),
            numerators: values(&sides.numerator),
            denominators: values(&sides.denominator),
            untested: None,
        };
        comparer.untested = match planned.proportion {
            Proportionality::None(reason) => Some(reason),
            _ if !comparer.are_proportions() => Some("not_a_proportion"),
            _ => None,
        };
        Some(comparer)
    }

    /// Whether each series that counts anything can be a share of it. One that is none shows what the formula is, whatever the
    /// keyspace says of it and however the others look.
    fn are_proportions(&self) -> bool {
        self.denominators.keys().all(|key| self.proportion(key).is_possible())
    }

    /// A series against the control of the same further tags; `None` for the control itself.
    pub fn compare(&self, key: &Key) -> Option<Comparison> {
        if key[self.place].as_ref() == self.experiment.control {
            return None;
        }
        let mut control = key.clone();
        control[self.place] = self.experiment.control.as_str().into();
        let failed = |reason| Some(Comparison { reason: Some(reason), ..Comparison::default() });
        let Some(value) = self.summaries.get(key) else { return failed("no_data") };
        let Some(base) = self.summaries.get(&control) else { return failed("no_control") };
        let difference = Some(value - base).filter(|difference| difference.is_finite());
        let lift = (value - base) / base.abs();
        let found = Comparison { difference, lift: (lift.abs() <= HUGE_LIFT).then_some(lift), ..Comparison::default() };
        Some(self.test(found, self.proportion(key), self.proportion(&control)))
    }

    fn test(&self, found: Comparison, variation: Proportion, control: Proportion) -> Comparison {
        if self.untested.is_some() {
            return Comparison { reason: self.untested, ..found };
        }
        let lift = found.lift.filter(|_| !statistics::is_near_zero(control));
        match statistics::compare_proportions(variation, control) {
            None => Comparison { lift, reason: Some("too_few"), ..found },
            Some(test) => Comparison {
                lift,
                interval: Some(test.difference),
                lift_interval: test.lift,
                p_value: Some(test.p_value),
                reason: test.lift.is_none().then_some("near_zero"),
                ..found
            },
        }
    }

    fn proportion(&self, key: &Key) -> Proportion {
        // A group that a sum has no points of is worth nothing.
        let of = |values: &Values<'_>| values.get(key).copied().unwrap_or(0.0);
        Proportion { part: of(&self.numerators), of: of(&self.denominators) }
    }
}

fn values(evaluated: &Evaluated) -> Values<'_> {
    evaluated.series.iter().filter_map(|(key, column)| Some((key, column.get(0)?))).collect()
}

/// The check of the split, where one is declared and what was assigned was counted.
pub fn sample_ratio(experiment: &Experiment, planned: &PlannedComparison, sides: &Sides) -> Option<SampleRatio> {
    if experiment.split.is_empty() {
        return None;
    }
    let counts = counts(experiment, sides);
    let observed: Vec<f64> =
        experiment.split.keys().map(|variation| counts.get(variation.as_str()).copied().unwrap_or(0.0)).collect();
    let weights: Vec<f64> = experiment.split.values().copied().collect();
    let total: f64 = observed.iter().sum();
    if !observed.iter().all(|count| count.fract() == 0.0 && *count >= 0.0) {
        return None;
    }
    let p_value = statistics::goodness_of_fit(&observed, &weights);
    let named = |values: Vec<f64>| experiment.split.keys().cloned().zip(values).collect();
    Some(SampleRatio {
        metric: planned.exposures.1.clone(),
        expected: named(weights.iter().map(|weight| weight * total).collect()),
        observed: named(observed),
        p_value,
        mismatch: p_value.is_some_and(|p_value| p_value < MISMATCH),
    })
}

/// What was assigned to each variation.
fn counts<'s>(experiment: &Experiment, sides: &'s Sides) -> BTreeMap<&'s str, f64> {
    let (exposures, tags) = &sides.exposures;
    let mut counts = BTreeMap::new();
    let Some(place) = tags.iter().position(|tag| *tag == experiment.tag) else { return counts };
    for (key, column) in &exposures.series {
        *counts.entry(key[place].as_ref()).or_insert(0.0) += column.get(0).unwrap_or(0.0);
    }
    counts
}

/// What a reader of the comparison should know.
pub fn warnings(
    experiment: &Experiment,
    planned: &PlannedComparison,
    sides: &Sides,
    ratio: Option<&SampleRatio>,
) -> Vec<Warning> {
    let warning = |code, count, detail| Warning { code, count, detail };
    let mut found = Vec::new();
    if planned.proportion == Proportionality::Assumed {
        let detail = "the test takes each of what is divided to be one of what it is divided by, at most once; say so with \
                      `part_of` in the metric, or do not rely on it";
        found.push(warning("assumed_proportion", None, detail.to_owned()));
    }
    if experiment.split.is_empty() {
        return found;
    }
    let metric = &planned.exposures.1;
    match ratio.map(|ratio| (ratio.mismatch, ratio.p_value)) {
        None => {
            let detail = format!(
                "whether the traffic was split as declared is not known: `{metric}` comes to fractions or to less than \
                 nothing, and so counts nothing; name in `exposures` of the experiment what counts those assigned"
            );
            found.push(warning("no_sample_ratio", None, detail));
        }
        Some((true, Some(p_value))) => {
            let detail = format!(
                "`{metric}` is not split as declared (p = {p_value:.1e}): find out why before the comparison is believed"
            );
            found.push(warning("sample_ratio_mismatch", None, detail));
        }
        Some(_) => {}
    }
    let counts = counts(experiment, sides);
    let strangers: Vec<&str> =
        counts.into_keys().filter(|variation| !experiment.split.contains_key(*variation)).take(20).collect();
    if !strangers.is_empty() {
        let detail = format!("variations that the split does not name: `{}`", strangers.join("`, `"));
        found.push(warning("unknown_variation", Some(strangers.len()), detail));
    }
    found
}
