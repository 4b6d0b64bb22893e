//! The settings of a keyspace, from whichever of its files gives them.

use jiff::tz::TimeZone;

use super::{Builder, Spec};
use crate::diagnostic::{Diagnostic, Location, shorten};
use crate::series::{Step, StepUnit};

/// What is said of a keyspace as a whole.
pub struct Settings {
    pub title: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub timezone: TimeZone,
    pub resolution: Step,
    pub settle: i64,
}

impl Builder<'_> {
    pub(super) fn settings(&mut self, specs: &[&Spec]) -> Settings {
        let minutes = |count| Step::new(count, StepUnit::Minute);
        let text = |setting: Option<(String, Location)>| setting.map(|(text, _)| text);
        let timezone = self.once("timezone", specs);
        let resolution = self.once("resolution", specs);
        let settle = self.once("settle", specs);
        let none = |text: &str| ["0s", "0m", "0h", "0d"].contains(&text).then_some(0);
        let millis = |text: &str| text.parse().ok().map(Step::nominal_millis).or_else(|| none(text));
        Settings {
            title: text(self.once("title", specs)),
            description: text(self.once("description", specs)),
            owner: text(self.once("owner", specs)),
            timezone: self.setting(timezone, TimeZone::UTC, |text| TimeZone::get(text).ok(), "America/Los_Angeles"),
            resolution: self.setting(resolution, minutes(1), |text| text.parse().ok(), "1m"),
            settle: self.setting(settle, minutes(10).nominal_millis(), millis, "10m"),
        }
    }

    /// A setting that one file gives; a second one that gives it too is a fault.
    fn once(&mut self, field: &str, specs: &[&Spec]) -> Option<(String, Location)> {
        let mut given = specs.iter().filter_map(|spec| spec.texts.get(field));
        let first = given.next()?;
        for (_, location) in given {
            let fault = Diagnostic::error("duplicate_key", location.clone(), format!("`{field}` is given twice"));
            let hint = format!("it is given first at {}; keep one of the two", first.1);
            self.faults.push(fault.with_hint(hint).with_related(first.1.clone()));
        }
        Some(first.clone())
    }

    fn setting<T>(
        &mut self,
        text: Option<(String, Location)>,
        default: T,
        read: impl Fn(&str) -> Option<T>,
        example: &str,
    ) -> T {
        let Some((text, location)) = text else { return default };
        read(&text).unwrap_or_else(|| {
            let what = if example.contains('/') { "a timezone" } else { "a duration" };
            let message = format!("`{}` is not {what}", shorten(&text, 60));
            self.error("invalid_value", &location, message, &format!("write {what} such as {example}"));
            default
        })
    }

    /// A keyspace needs its metrics and its formulas, in whichever of its files.
    pub(super) fn check_sections(&mut self, specs: &[&Spec], start: &Location) {
        for section in ["metrics", "formulas"] {
            if self.whole && !specs.iter().any(|spec| spec.sections.contains_key(section)) {
                let message = format!("the keyspace has no `{section}`");
                let example = if section == "metrics" {
                    "visitors: shop.visitors"
                } else {
                    "conversion_rate: customers / visitors"
                };
                self.error("missing_key", start, message, &format!("add {section}: {{ {example} }}"));
            }
        }
    }
}
