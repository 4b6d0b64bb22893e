//! Experiment statistics from counts. Pure functions of a few numbers; what they are of is decided elsewhere.
//!
//! Sources: the pooled two-proportion z-test and the Wald interval as in Agresti, *An Introduction to Categorical Data
//! Analysis*, 2.2 (statsmodels' `proportions_ztest` and `confint_proportions_2indep(method="wald")`); the interval of the ratio
//! of two proportions by Katz and others, *Biometrics* 34 (1978), 469–474 (`method="log"`); Pearson's chi-squared test.

use statrs::function::erf::erfc;
use statrs::function::gamma::checked_gamma_ur;

/// The 97.5th percentile of the normal distribution: intervals are of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Below so many expected in a cell the normal and chi-squared distributions are no good approximation (Cochran's rule).
const LEAST_EXPECTED: f64 = 5.0;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportion {
    /// Those that did.
    pub part: f64,
    /// All.
    pub of: f64,
}

impl Proportion {
    /// Whether the two can be counts of things and of some of them.
    pub fn is_possible(self) -> bool {
        let whole = |count: f64| count.fract() == 0.0 && (0.0..9.0e15).contains(&count);
        whole(self.part) && whole(self.of) && self.part <= self.of
    }

    fn rate(self) -> f64 {
        self.part / self.of
    }

    /// The squared standard error of the rate.
    fn variance(self) -> f64 {
        self.rate() * (1.0 - self.rate()) / self.of
    }
}

/// What two proportions differ by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProportionTest {
    /// The 95 % interval of the difference of the rates (Wald, unpooled).
    pub difference: (f64, f64),
    /// The 95 % interval of the relative lift (Katz's log interval of the ratio, less one); none where the control's rate is
    /// within its own interval of zero.
    pub lift: Option<(f64, f64)>,
    /// Two-sided, of the pooled z-test.
    pub p_value: f64,
}

/// Tests whether a variation's rate differs from the control's. `None`: too few for the normal approximation, fewer than five
/// of those that did or of those that did not being expected in one of them.
pub fn compare_proportions(variation: Proportion, control: Proportion) -> Option<ProportionTest> {
    let pooled = (variation.part + control.part) / (variation.of + control.of);
    let least = variation.of.min(control.of) * pooled.min(1.0 - pooled);
    if least.is_nan() || least < LEAST_EXPECTED {
        return None;
    }
    let (rate, base) = (variation.rate(), control.rate());
    let difference = rate - base;
    let error = (variation.variance() + control.variance()).sqrt();
    let pooled_error = (pooled * (1.0 - pooled) * (1.0 / variation.of + 1.0 / control.of)).sqrt();
    let near_zero = is_near_zero(control);
    let lift = (!near_zero && variation.part > 0.0).then(|| {
        let log_error = ((1.0 - rate) / variation.part + (1.0 - base) / control.part).sqrt();
        let log_ratio = (rate / base).ln();
        ((log_ratio - Z * log_error).exp() - 1.0, (log_ratio + Z * log_error).exp() - 1.0)
    });
    Some(ProportionTest {
        difference: (difference - Z * error, difference + Z * error),
        lift,
        p_value: erfc(difference.abs() / pooled_error / std::f64::consts::SQRT_2),
    })
}

/// Whether the control's rate is too near zero to be divided by: its 95 % interval reaches down to it.
pub fn is_near_zero(control: Proportion) -> bool {
    control.rate() <= Z * control.variance().sqrt()
}

/// The p-value of Pearson's chi-squared test that the counts are split by the weights, which add up to 1. `None`: too few, or
/// fewer than two.
pub fn goodness_of_fit(counts: &[f64], weights: &[f64]) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    let expected = || weights.iter().map(|weight| weight * total);
    let enough = counts.len() == weights.len() && counts.len() > 1 && expected().all(|cell| cell >= LEAST_EXPECTED);
    if !enough {
        return None;
    }
    let statistic: f64 = counts.iter().zip(expected()).map(|(count, cell)| (count - cell).powi(2) / cell).sum();
    if statistic == 0.0 {
        return Some(1.0);
    }
    // The upper tail of the chi-squared distribution is the upper regularised incomplete gamma function.
    checked_gamma_ur((counts.len() - 1) as f64 / 2.0, statistic / 2.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(part: f64, of: f64) -> Proportion {
        Proportion { part, of }
    }

    #[test]
    fn too_few_are_not_tested() {
        assert!(compare_proportions(of(4.0, 50.0), of(4.0, 50.0)).is_none());
        assert!(compare_proportions(of(6.0, 50.0), of(4.0, 50.0)).is_some());
        assert!(compare_proportions(of(50.0, 50.0), of(50.0, 50.0)).is_none());
        assert!(compare_proportions(of(0.0, 0.0), of(0.0, 0.0)).is_none());
        assert!(goodness_of_fit(&[4.0, 4.0], &[0.5, 0.5]).is_none());
        assert!(goodness_of_fit(&[400.0], &[1.0]).is_none());
    }

    #[test]
    fn equal_rates_do_not_differ() {
        let test = compare_proportions(of(100.0, 1000.0), of(100.0, 1000.0)).unwrap();
        assert_eq!((test.p_value, test.difference.0), (1.0, -test.difference.1));
        assert_eq!(goodness_of_fit(&[50.0, 50.0], &[0.5, 0.5]), Some(1.0));
    }

    #[test]
    fn a_lift_over_next_to_nothing_is_none() {
        let test = compare_proportions(of(40.0, 1000.0), of(3.0, 1000.0)).unwrap();
        assert!(test.lift.is_none() && test.p_value < 1e-6);
        assert!(is_near_zero(of(3.0, 1000.0)) && !is_near_zero(of(30.0, 1000.0)));
    }

    #[test]
    fn what_cannot_be_a_part_is_told() {
        assert!(of(3.0, 5.0).is_possible() && of(0.0, 0.0).is_possible());
        for (part, all) in [(6.0, 5.0), (1.5, 5.0), (-1.0, 5.0), (f64::NAN, 5.0), (1.0, f64::INFINITY)] {
            assert!(!of(part, all).is_possible(), "{part} of {all}");
        }
    }
}
