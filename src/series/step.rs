//! Steps: the width of a bucket, exact (`s m h`, aligned to the epoch) or of the calendar (`d w`, in a timezone).

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// The unit of a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepUnit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours of 3,600 seconds.
    Hour,
    /// Calendar days of a timezone: 23, 24 or 25 hours, seldom others.
    Day,
    /// Calendar weeks from Monday.
    Week,
}

impl StepUnit {
    fn letter(self) -> char {
        match self {
            StepUnit::Second => 's',
            StepUnit::Minute => 'm',
            StepUnit::Hour => 'h',
            StepUnit::Day => 'd',
            StepUnit::Week => 'w',
        }
    }

    fn nominal_millis(self) -> i64 {
        match self {
            StepUnit::Second => 1_000,
            StepUnit::Minute => 60_000,
            StepUnit::Hour => 3_600_000,
            StepUnit::Day => 86_400_000,
            StepUnit::Week => 7 * 86_400_000,
        }
    }
}

/// A duration such as `1m`, `7m`, `24h`, `1d`, `2w`. `24h` is exact and is not `1d`, which is a calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    count: u32,
    unit: StepUnit,
}

/// The first day of the week that 1970-01-01 lies in: weeks are counted from it.
const FIRST_MONDAY: Date = Date::constant(1969, 12, 29);
const FIRST_DAY: Date = Date::constant(1970, 1, 1);

impl Step {
    /// A step of `count` units. `count` must be positive and the step at most 400 years.
    pub const fn new(count: u32, unit: StepUnit) -> Step {
        Step { count, unit }
    }

    /// How many units.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The unit.
    pub fn unit(self) -> StepUnit {
        self.unit
    }

    /// The exact length in milliseconds, or `None` for a step of the calendar.
    pub fn exact_millis(self) -> Option<i64> {
        (!self.is_calendar()).then(|| self.nominal_millis())
    }

    /// The length in milliseconds with days of 24 hours: for estimates and for `retention`-like durations.
    pub fn nominal_millis(self) -> i64 {
        i64::from(self.count) * self.unit.nominal_millis()
    }

    /// Whether buckets are days or weeks of a timezone.
    pub fn is_calendar(self) -> bool {
        matches!(self.unit, StepUnit::Day | StepUnit::Week)
    }

    /// Whether buckets of this step hold a whole number of buckets of `resolution`.
    pub fn is_multiple_of(self, resolution: Step) -> bool {
        if resolution.is_calendar() && !self.is_calendar() {
            return false;
        }
        if resolution.unit == StepUnit::Week && self.unit == StepUnit::Day {
            return false;
        }
        self.nominal_millis() % resolution.nominal_millis() == 0
    }

    /// The start of the bucket that holds `timestamp`.
    pub fn floor(self, timestamp: i64, timezone: &TimeZone) -> i64 {
        match self.exact_millis() {
            Some(length) => timestamp.div_euclid(length) * length,
            None => {
                let date = local_date(timestamp, timezone);
                let mut index = self.date_index(date);
                // A transition can put the first instant of a date after an instant that has the same local date.
                let mut start = self.calendar_start(index, timezone);
                while start > timestamp {
                    index -= 1;
                    start = self.calendar_start(index, timezone);
                }
                start
            }
        }
    }

    /// The start of the first bucket that begins after the one that begins at `start`; empty calendar buckets (dates that a
    /// timezone skipped) are passed over.
    pub fn next(self, start: i64, timezone: &TimeZone) -> i64 {
        match self.exact_millis() {
            Some(length) => start.saturating_add(length),
            None => {
                let mut index = self.date_index(local_date(start, timezone));
                loop {
                    index += 1;
                    let next = self.calendar_start(index, timezone);
                    if next > start {
                        return next;
                    }
                }
            }
        }
    }

    /// Which calendar bucket a local date lies in, counted from 1970-01-01 (days) or from its week's Monday (weeks).
    fn date_index(self, date: Date) -> i64 {
        let (origin, days) = self.calendar_grid();
        days_between(origin, date).div_euclid(days)
    }

    /// The first instant of the first date of the calendar bucket `index`.
    fn calendar_start(self, index: i64, timezone: &TimeZone) -> i64 {
        let (origin, days) = self.calendar_grid();
        match index.saturating_mul(days) {
            ..FIRST_DATE => BEFORE_ALL,
            LAST_DATE.. => AFTER_ALL,
            offset => first_instant(origin.saturating_add(Span::new().days(offset)), timezone),
        }
    }

    fn calendar_grid(self) -> (Date, i64) {
        match self.unit {
            StepUnit::Week => (FIRST_MONDAY, i64::from(self.count) * 7),
            _ => (FIRST_DAY, i64::from(self.count)),
        }
    }
}

/// The first and the last day of jiff's calendar, -9999-01-01 and 9999-12-31, counted from 1970-01-01.
const FIRST_DATE: i64 = -4_371_587;
const LAST_DATE: i64 = 2_932_896;
/// In the place of instants beyond it: a bucket that begins or ends there still begins before and ends after all others.
const BEFORE_ALL: i64 = i64::MIN / 4;
const AFTER_ALL: i64 = i64::MAX / 4;

/// The first instant of a local date, in epoch milliseconds: midnight, or, where a timezone skips midnight, the instant
/// after the gap. For a date that does not exist it is the first instant of the next one that does.
pub fn first_instant(date: Date, timezone: &TimeZone) -> i64 {
    timezone
        .to_ambiguous_zoned_datetime(date.to_datetime(jiff::civil::Time::midnight()))
        .compatible()
        .map(|zoned| zoned.timestamp().as_millisecond())
        .unwrap_or(if date.year() < 1970 { BEFORE_ALL } else { AFTER_ALL })
}

/// The local date of an instant. Instants beyond the calendar's range are clamped to it.
pub fn local_date(timestamp: i64, timezone: &TimeZone) -> Date {
    let range = Timestamp::MIN.as_millisecond()..=Timestamp::MAX.as_millisecond();
    let clamped = timestamp.clamp(*range.start(), *range.end());
    match Timestamp::from_millisecond(clamped) {
        Ok(instant) => timezone.to_datetime(instant).date(),
        Err(_) => FIRST_DAY,
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.letter())
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write a whole number from 1 and a unit out of s, m, h, d, w, such as 1m or 7d")]
pub struct NotADuration(pub String);

impl FromStr for Step {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Step, NotADuration> {
        let fault = || NotADuration(text.chars().take(40).collect());
        let unit = match text.as_bytes().last() {
            Some(b's') => StepUnit::Second,
            Some(b'm') => StepUnit::Minute,
            Some(b'h') => StepUnit::Hour,
            Some(b'd') => StepUnit::Day,
            Some(b'w') => StepUnit::Week,
            _ => return Err(fault()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fault());
        }
        let count: u32 = digits.parse().map_err(|_| fault())?;
        let step = Step { count, unit };
        let four_centuries = 400 * 366 * 86_400_000;
        if count == 0 || step.nominal_millis() > four_centuries {
            return Err(fault());
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tz(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn durations_are_read_and_printed() {
        for text in ["1s", "30s", "7m", "24h", "1d", "4w", "400d"] {
            assert_eq!(text.parse::<Step>().unwrap().to_string(), text);
        }
        for text in ["", "m", "0m", "-1m", "1", "1y", "1 m", "1.5h", "99999999999s", "999999999w", "١m"] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }

    #[test]
    fn exact_steps_align_to_the_epoch_also_before_it() {
        let step: Step = "7m".parse().unwrap();
        assert_eq!(step.floor(-1, &TimeZone::UTC), -420_000);
        assert_eq!(step.floor(420_001, &TimeZone::UTC), 420_000);
    }

    #[test]
    fn days_follow_the_timezone() {
        let new_york = tz("America/New_York");
        let day: Step = "1d".parse().unwrap();
        let start = day.floor(ms("2026-03-08T12:00:00Z"), &new_york);
        assert_eq!(start, ms("2026-03-08T05:00:00Z"));
        assert_eq!(day.next(start, &new_york) - start, 23 * 3_600_000);
    }

    #[test]
    fn a_date_without_midnight_begins_after_the_gap_and_a_missing_date_has_no_bucket() {
        let day: Step = "1d".parse().unwrap();
        // Cairo skipped 00:00 to 01:00 on 2023-04-28.
        let cairo = tz("Africa/Cairo");
        assert_eq!(day.floor(ms("2023-04-28T12:00:00Z"), &cairo), ms("2023-04-27T22:00:00Z"));
        // Apia had no 2011-12-30.
        let apia = tz("Pacific/Apia");
        let start = day.floor(ms("2011-12-30T09:00:00Z"), &apia);
        assert_eq!(start, ms("2011-12-29T10:00:00Z"));
        let next = day.next(start, &apia);
        assert_eq!(next, ms("2011-12-30T10:00:00Z"));
        assert_eq!(day.next(next, &apia), ms("2011-12-31T10:00:00Z"));
    }

    #[test]
    fn the_ends_of_the_calendar_are_reached() {
        for zone in ["UTC", "America/New_York", "Pacific/Kiritimati"] {
            let zone = tz(zone);
            for step in ["1d", "1w", "1000w", "400d", "7d"] {
                let step: Step = step.parse().unwrap();
                for at in
                    ["0001-01-01T00:00:00Z", "0001-01-05T00:00:00Z", "9998-01-01T00:00:00Z", "9998-12-31T23:59:59Z"]
                {
                    let at = ms(at);
                    let start = step.floor(at, &zone);
                    assert!(start <= at && step.next(start, &zone) > at, "{step} {at}");
                }
                for at in [i64::MIN / 4, i64::MIN / 8, i64::MAX / 8] {
                    assert!(step.floor(at, &zone) <= at, "{step} {at}");
                }
            }
        }
    }

    #[test]
    fn weeks_begin_on_monday() {
        let week: Step = "1w".parse().unwrap();
        assert_eq!(week.floor(ms("2026-11-24T00:00:00Z"), &TimeZone::UTC), ms("2026-11-23T00:00:00Z"));
        assert_eq!(week.floor(ms("1970-01-01T00:00:00Z"), &TimeZone::UTC), ms("1969-12-29T00:00:00Z"));
    }

    #[test]
    fn multiples_of_the_resolution() {
        let is = |a: &str, b: &str| a.parse::<Step>().unwrap().is_multiple_of(b.parse().unwrap());
        assert!(is("7m", "1m") && is("1d", "1m") && is("1w", "1d") && is("2d", "1d") && is("1d", "24h"));
        assert!(!is("90s", "1m") && !is("24h", "1d") && !is("7d", "1w") && !is("1m", "1h"));
    }
}
