//! Numbers, times and series as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::query::{Answer, FormulaResult, SeriesResult};
use crate::series::Step;

/// A number in the fewest digits that are it.
pub fn exact(value: f64) -> String {
    let magnitude = value.abs();
    let text =
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) { format!("{value:e}") } else { value.to_string() };
    if text == "-0" { "0".to_owned() } else { text }
}

/// How a chart's values are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unit {
    unit: String,
    currency: String,
    decimals: Option<usize>,
}

impl Unit {
    /// What the chart of a result says.
    pub fn of(result: &FormulaResult) -> Unit {
        let field = |name: &str| result.chart.as_ref().and_then(|chart| chart.get(name));
        let text = |name: &str| field(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let decimals = field("decimals").and_then(serde_json::Value::as_u64).map(|decimals| decimals.min(12) as usize);
        Unit { unit: text("unit"), currency: text("currency"), decimals }
    }

    /// A value in this unit.
    pub fn show(&self, value: f64) -> String {
        match self.unit.as_str() {
            "percent" => format!("{}%", self.digits(value * 100.0, 2)),
            "currency" => format!("{} {}", self.digits(value, 2), self.currency).trim_end().to_owned(),
            "duration" => self.duration(value),
            "bytes" => self.scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"]),
            "rate" => format!("{}/s", self.short(value)),
            _ => self.short(value),
        }
    }

    fn digits(&self, value: f64, default: usize) -> String {
        // So large a number has no digits behind the point.
        if value.abs() >= 1e15 { exact(value) } else { format!("{value:.*}", self.decimals.unwrap_or(default)) }
    }

    fn short(&self, value: f64) -> String {
        match self.decimals {
            Some(_) => self.digits(value, 0),
            None => significant(value),
        }
    }

    fn duration(&self, seconds: f64) -> String {
        let size = seconds.abs();
        let (scale, unit) = match () {
            () if size == 0.0 || (1.0..120.0).contains(&size) => (1.0, "s"),
            () if size < 1e-3 => (1e6, "µs"),
            () if size < 1.0 => (1e3, "ms"),
            () if size < 7200.0 => (1.0 / 60.0, "min"),
            () if size < 172_800.0 => (1.0 / 3600.0, "h"),
            () => (1.0 / 86_400.0, "d"),
        };
        format!("{} {unit}", self.short(seconds * scale))
    }

    fn scaled(&self, value: f64, base: f64, units: &[&str]) -> String {
        let mut scaled = value;
        let mut index = 0;
        while scaled.abs() >= base && index + 1 < units.len() {
            scaled /= base;
            index += 1;
        }
        format!("{} {}", self.short(scaled), units.get(index).copied().unwrap_or_default())
    }
}

/// Four significant digits, no trailing zeros.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let before = if magnitude < 1.0 { 0 } else { magnitude.log10() as usize + 1 };
    let leading_zeros = if magnitude == 0.0 || magnitude >= 1.0 { 0 } else { (-magnitude.log10()) as usize };
    let text = format!("{value:.*}", 4_usize.saturating_sub(before) + leading_zeros);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// How the timestamps of an answer are written: dates where its steps are days, in its timezone.
pub struct Times {
    timezone: TimeZone,
    format: &'static str,
}

impl Times {
    /// Those of an answer.
    pub fn of(answer: &Answer) -> Times {
        let timezone = TimeZone::get(&answer.timezone).unwrap_or(TimeZone::UTC);
        let calendar = answer.step.parse::<Step>().is_ok_and(Step::is_calendar);
        let format = match (calendar, answer.timezone.as_str()) {
            (true, _) => "%Y-%m-%d",
            (false, "UTC") => "%Y-%m-%dT%H:%M:%SZ",
            (false, _) => "%Y-%m-%dT%H:%M:%S%:z",
        };
        Times { timezone, format }
    }

    /// One timestamp.
    pub fn show(&self, timestamp: i64) -> String {
        match Timestamp::from_millisecond(timestamp) {
            Ok(instant) => instant.to_zoned_datetime(self.timezone.clone()).strftime(self.format).to_string(),
            Err(_) => timestamp.to_string(),
        }
    }
}

/// A series by its tags; `value` where it has none.
pub fn tags(series: &SeriesResult) -> String {
    if series.tags.is_empty() {
        return "value".to_owned();
    }
    let tag = |(name, value): &(String, std::sync::Arc<str>)| format!("{name}={}", printable(value));
    series.tags.iter().map(tag).collect::<Vec<_>>().join(",")
}

/// The heading of a result: its name, its title and its unit.
pub fn heading(result: &FormulaResult) -> String {
    let field = |name: &str| result.chart.as_ref().and_then(|chart| chart.get(name)?.as_str());
    let title = field("title").map_or(String::new(), |title| format!(" · {}", printable(title)));
    let unit = field("unit").map_or(String::new(), |unit| format!(" ({unit})"));
    format!("{}{title}{unit}", printable(&result.name))
}

/// A text without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// How many columns a text takes, near enough for labels.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(unit: &str, decimals: Option<usize>) -> Unit {
        Unit { unit: unit.to_owned(), currency: "EUR".to_owned(), decimals }
    }

    #[test]
    fn values_are_written_in_their_unit() {
        let cases = [
            ("percent", None, 0.0312, "3.12%"),
            ("percent", Some(0), 0.5, "50%"),
            ("currency", None, 12.5, "12.50 EUR"),
            ("duration", None, 0.0005, "500 µs"),
            ("duration", None, 0.25, "250 ms"),
            ("duration", None, 1.5, "1.5 s"),
            ("duration", None, 600.0, "10 min"),
            ("duration", None, 0.0, "0 s"),
            ("bytes", None, 1536.0, "1.5 KiB"),
            ("rate", None, 3.0, "3/s"),
            ("number", None, 123456.7, "123457"),
            ("number", None, 0.000123456, "0.0001235"),
            ("count", None, 28521.0, "28521"),
            ("", Some(1), 2.25, "2.2"),
            ("number", None, 1e300, "1.000e300"),
            ("number", None, -0.0, "0"),
        ];
        for (name, decimals, value, text) in cases {
            assert_eq!(unit(name, decimals).show(value), text, "{name} {value}");
        }
    }

    #[test]
    fn exact_numbers_read_back_as_themselves() {
        for value in [0.1, 1.0, -3.5, 1e300, 5e-324, 0.121735, 1e21, 123456789012.0] {
            assert_eq!(exact(value).parse::<f64>().unwrap(), value);
        }
        assert_eq!(exact(3.0), "3");
    }
}
