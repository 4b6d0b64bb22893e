//! Times and steps of a request → the axis of the answer.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Number, Value};

use crate::series::{Step, StepUnit};

/// What a time may look like, for messages.
pub const EXPECTED: &str = "must be a time: RFC 3339 such as 2026-11-22T00:00:00Z, epoch milliseconds, or relative to now \
     such as now, now-6h, now-1d or now/d";

/// Times that can be asked for: the years 1 to 9998, so that calendars work on both sides of them.
const EARLIEST: i64 = -62_135_596_800_000;
const LATEST: i64 = 253_370_764_800_000;

/// Reads a time of a request. Days and weeks relative to now are of the calendar in `timezone`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time(value: &Value, now: i64, timezone: &TimeZone) -> Result<i64, String> {
    let millis = match value {
        Value::Number(number) => whole(number).ok_or_else(|| EXPECTED.to_owned())?,
        Value::String(text) => parse_text(text.trim(), now, timezone)?,
        _ => return Err(EXPECTED.to_owned()),
    };
    if (EARLIEST..LATEST).contains(&millis) {
        Ok(millis)
    } else {
        Err("must lie in the years 1 to 9998; epoch times are in milliseconds".to_owned())
    }
}

/// A whole number, however it is written: JSON does not tell 1795305600000 from 1.7953056e12.
fn whole(number: &Number) -> Option<i64> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
    number.as_i64().or_else(|| float().map(|float| float as i64))
}

fn parse_text(text: &str, now: i64, timezone: &TimeZone) -> Result<i64, String> {
    if let Some(relative) = text.strip_prefix("now") {
        return parse_relative(relative, now, timezone).ok_or_else(|| EXPECTED.to_owned());
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| EXPECTED.to_owned());
    }
    text.parse::<Timestamp>().map(|instant| instant.as_millisecond()).map_err(|_| EXPECTED.to_owned())
}

/// What follows `now`: any of `-6h`, `+1d`, `/d`, applied in order.
fn parse_relative(mut rest: &str, now: i64, timezone: &TimeZone) -> Option<i64> {
    let mut time = now;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        let end = 1 + rest.find(|letter: char| letter.is_ascii_alphabetic())?;
        let (term, following) = rest.split_at(end);
        rest = following;
        time = match sign {
            '-' => shift(time, term.parse().ok()?, -1, timezone)?,
            '+' => shift(time, term.parse().ok()?, 1, timezone)?,
            '/' if term.len() == 1 => format!("1{term}").parse::<Step>().ok()?.floor(time, timezone),
            _ => return None,
        };
    }
    Some(time)
}

/// `time` moved by a duration: exact for seconds to hours, by local dates for days and weeks.
pub fn shift(time: i64, by: Step, sign: i64, timezone: &TimeZone) -> Option<i64> {
    if let Some(millis) = by.exact_millis() {
        return time.checked_add(sign * millis);
    }
    let days = i64::from(by.count()) * if by.unit() == StepUnit::Week { 7 } else { 1 };
    let zoned = Timestamp::from_millisecond(time).ok()?.to_zoned_datetime(timezone.clone());
    let span = Span::new().try_days(sign * days).ok()?;
    zoned.checked_add(span).ok().map(|moved| moved.timestamp().as_millisecond())
}

/// The steps that `auto` chooses from.
const AUTO_STEPS: [Step; 21] = {
    use StepUnit::{Day, Hour, Minute, Second, Week};
    [
        Step::new(1, Second),
        Step::new(2, Second),
        Step::new(5, Second),
        Step::new(10, Second),
        Step::new(15, Second),
        Step::new(30, Second),
        Step::new(1, Minute),
        Step::new(2, Minute),
        Step::new(5, Minute),
        Step::new(10, Minute),
        Step::new(15, Minute),
        Step::new(30, Minute),
        Step::new(1, Hour),
        Step::new(2, Hour),
        Step::new(3, Hour),
        Step::new(6, Hour),
        Step::new(12, Hour),
        Step::new(1, Day),
        Step::new(1, Week),
        Step::new(4, Week),
        Step::new(52, Week),
    ]
};

/// The smallest of the automatic steps that is a multiple of the resolution and gives at most `points` buckets; the largest
/// (4 w) where none does. Of a resolution that divides none of them, such as 11s, it is the smallest multiple that does.
pub fn auto_step(from: i64, to: i64, points: usize, resolution: Step, timezone: &TimeZone) -> Step {
    let steps = &AUTO_STEPS[..20];
    let fits = |step: &&Step| bucket_count(from, to, **step, timezone) <= points as u64;
    let usable = || steps.iter().filter(|step| step.is_multiple_of(resolution));
    let automatic = usable().find(fits).or_else(|| usable().next_back()).copied();
    automatic.unwrap_or_else(|| multiple(from, to, points as u64, resolution))
}

/// The smallest multiple of the resolution that gives at most `points` buckets of an exact step, or nearly so.
fn multiple(from: i64, to: i64, points: u64, resolution: Step) -> Step {
    // The first bucket begins before the range, so that one is taken off what the range is divided by.
    let length = ((to - from).max(1) as u64).div_ceil(points.saturating_sub(1).max(1));
    let times = length.div_ceil(resolution.nominal_millis() as u64).max(1);
    let count = times.saturating_mul(u64::from(resolution.count()));
    Step::new(u32::try_from(count).unwrap_or(u32::MAX), resolution.unit())
}

/// The smallest automatic step that gives at most `points` buckets, for the message of a limit.
pub fn fitting_step(from: i64, to: i64, points: u64, resolution: Step, timezone: &TimeZone) -> Option<Step> {
    let usable = AUTO_STEPS.iter().filter(|step| step.is_multiple_of(resolution));
    let automatic = usable.clone().copied().find(|step| bucket_count(from, to, *step, timezone) <= points);
    automatic.or_else(|| usable.clone().next().is_none().then(|| multiple(from, to, points, resolution)))
}

/// How many buckets `[from, to)` touches. Exact for exact steps; for the calendar by walking, or, where that would be long,
/// an estimate that is never too small by more than the transitions of the timezone.
fn bucket_count(from: i64, to: i64, step: Step, timezone: &TimeZone) -> u64 {
    let start = step.floor(from, timezone);
    let estimate = ((to - start).max(1) as u64).div_ceil(step.nominal_millis() as u64);
    if !step.is_calendar() || estimate > 5_000 {
        return estimate;
    }
    let mut count = 0;
    let mut next = start;
    while next < to {
        next = step.next(next, timezone);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn times_in_every_form() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let now = at("2026-10-26T10:30:00Z");
        let cases = [
            (json!("now"), "2026-10-26T10:30:00Z"),
            (json!("now-6h"), "2026-10-26T04:30:00Z"),
            // The clocks went back on the 25th: a calendar day before is 25 hours before.
            (json!("now-2d"), "2026-10-24T09:30:00Z"),
            (json!("now/d"), "2026-10-25T23:00:00Z"),
            (json!("now-1d/d"), "2026-10-24T22:00:00Z"),
            (json!("now/h"), "2026-10-26T10:00:00Z"),
            (json!("now+1m"), "2026-10-26T10:31:00Z"),
            (json!("now-1w"), "2026-10-19T09:30:00Z"),
            (json!("2026-11-22T01:00:00+01:00"), "2026-11-22T00:00:00Z"),
            (json!(1_795_305_600_000_i64), "2026-11-22T00:00:00Z"),
            (json!(1.7953056e12), "2026-11-22T00:00:00Z"),
            (json!("1795305600000"), "2026-11-22T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_time(&text, now, &berlin), Ok(at(expected)), "{text}");
        }
        let bad = [
            json!(""),
            json!("yesterday"),
            json!("now-"),
            json!("now-6"),
            json!("now-6y"),
            json!("now6h"),
            json!("now/2d"),
            json!("now-٣h"),
            json!("2026-11-22"),
            json!("2026-11-22T00:00:00"),
            json!(1.5),
            json!(1e300),
            json!(true),
            json!("now-999999999d"),
            json!(i64::MAX),
            json!("now/d/"),
            json!("now-1d-é"),
        ];
        for text in bad {
            assert!(parse_time(&text, now, &berlin).is_err(), "{text}");
        }
    }

    #[test]
    fn auto_is_the_smallest_step_that_fits() {
        let hour = 3_600_000;
        let auto = |to: i64, points, resolution: &str| {
            auto_step(0, to, points, resolution.parse().unwrap(), &TimeZone::UTC).to_string()
        };
        assert_eq!(auto(hour, 500, "1m"), "1m");
        assert_eq!(auto(hour, 500, "1s"), "10s");
        assert_eq!(auto(24 * hour, 500, "1m"), "5m");
        assert_eq!(auto(24 * hour, 1, "1m"), "1d");
        assert_eq!(auto(400 * 24 * hour, 1, "1m"), "4w");
        assert_eq!(auto(24 * hour, 100, "1h"), "1h");
        assert_eq!((auto(hour, 200, "11s"), auto(hour, 500, "11s")), ("22s".to_owned(), "11s".to_owned()));
    }
}
