//! The two sides of a series over one another, as SVG: the left one thick, the right one thin over it.

use std::fmt::Write;

use jiff::Timestamp;

use super::escape;
use crate::series::TimeAxis;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;
/// Where a value, and a time, is marked on the edges.
const MARKS: [f64; 3] = [0.0, 0.5, 1.0];

/// A series on two sides, a value for each bucket; a value that is not finite is a gap.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sides<'a> {
    /// Its values on the left; `None`: it is missing there.
    pub left: Option<&'a [f64]>,
    /// Its values on the right.
    pub right: Option<&'a [f64]>,
    /// The bucket that is marked.
    pub worst: Option<usize>,
}

/// Where values and times are drawn.
struct Scale {
    from: i64,
    to: i64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(sides: Sides<'_>, axis: &TimeAxis) -> Option<Scale> {
        let values = sides.left.into_iter().chain(sides.right).flatten().copied().filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        // A flat line is drawn in the middle.
        let margin = if low == high { low.abs().max(1.0) * 0.5 } else { 0.0 };
        Some(Scale { from: axis.from(), to: axis.to(), low: low - margin, high: high + margin })
    }

    fn x(&self, time: i64) -> f64 {
        let part = (time - self.from) as f64 / (self.to - self.from).max(1) as f64;
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        // Halves keep the span of two huge values finite.
        let span = self.high / 2.0 - self.low / 2.0;
        // The least floats have no half.
        let part = if span > 0.0 { (value / 2.0 - self.low / 2.0) / span } else { 0.5 };
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
    }
}

/// The drawing of one series; empty where it has no value.
pub fn drawing(sides: Sides<'_>, axis: &TimeAxis, label: &str) -> String {
    let Some(scale) = Scale::of(sides, axis) else { return String::new() };
    let label = escape(label);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">");
    edges(&mut svg, &scale);
    for (class, values) in [("left", sides.left), ("right", sides.right)] {
        if let Some(values) = values {
            path(&mut svg, class, values, axis, &scale);
        }
    }
    if let Some(worst) = sides.worst
        && let Some(start) = axis.starts().get(worst)
    {
        let x = scale.x(*start);
        let _ =
            write!(svg, "<line class=\"worst\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>", HEIGHT - BOTTOM);
        for values in [sides.left, sides.right].into_iter().flatten() {
            if let Some(value) = values.get(worst).filter(|value| value.is_finite()) {
                let _ = write!(svg, "<circle class=\"worst\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"5\"/>", scale.y(*value));
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Three values and three times.
fn edges(svg: &mut String, scale: &Scale) {
    for part in MARKS {
        let value = scale.low * (1.0 - part) + scale.high * part;
        let y = scale.y(value);
        let _ =
            write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", WIDTH - RIGHT);
        let _ =
            write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", LEFT - 6.0, y + 4.0, short(value));
        let time = scale.from + ((scale.to - scale.from) as f64 * part) as i64;
        let anchor = if part == 0.0 {
            "start"
        } else if part == 1.0 {
            "end"
        } else {
            "middle"
        };
        let (x, y) = (scale.x(time), HEIGHT - 8.0);
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", time_of(time));
    }
}

/// A line that is broken where there is no value; a value alone is a dot.
fn path(svg: &mut String, class: &str, values: &[f64], axis: &TimeAxis, scale: &Scale) {
    let points = || axis.starts().iter().zip(values);
    let mut commands = String::new();
    let mut pen_down = false;
    for (start, value) in points() {
        if value.is_finite() {
            let _ =
                write!(commands, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, scale.x(*start), scale.y(*value));
        }
        pen_down = value.is_finite();
    }
    let _ = write!(svg, "<path class=\"{class}\" d=\"{commands}\"/>");
    for (index, (start, value)) in points().enumerate() {
        let lone =
            |index: Option<usize>| index.and_then(|index| values.get(index)).is_none_or(|value| !value.is_finite());
        if value.is_finite() && lone(index.checked_sub(1)) && lone(Some(index + 1)) {
            let (x, y) = (scale.x(*start), scale.y(*value));
            let _ = write!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
        }
    }
}

/// A value in at most four figures, with the letter of its thousands.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e15).contains(&size) {
        return format!("{value:.1e}");
    }
    let (scaled, letter) = match size {
        1e12.. => (value / 1e12, "T"),
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

/// A time to the minute, in UTC.
pub fn time_of(timestamp: i64) -> String {
    Timestamp::from_millisecond(timestamp)
        .map_or_else(|_| timestamp.to_string(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn a_drawing_holds_both_lines_their_gaps_and_the_worst_place() {
        let axis = TimeAxis::covering(0, 300_000, "1m".parse().unwrap(), &TimeZone::UTC, 10).unwrap();
        let left = [1.0, 2.0, f64::NAN, 4.0, f64::NAN];
        let right = [1.0, 2.0, 3.0, 5.0, f64::INFINITY];
        let sides = Sides { left: Some(&left), right: Some(&right), worst: Some(2) };
        let svg = drawing(sides, &axis, "<a&\"");
        assert_eq!((svg.matches("<path").count(), svg.matches("class=\"worst\"").count()), (2, 2), "{svg}");
        assert_eq!(svg.matches("<circle class=\"left\"").count(), 1, "a value alone is a dot");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("&lt;a&amp;&quot;") && !svg.contains("<a&"), "{svg}");
        assert_eq!(drawing(Sides { left: Some(&[f64::NAN; 5]), ..Sides::default() }, &axis, "a"), "");
    }

    #[test]
    fn extremes_have_a_place() {
        let axis = TimeAxis::covering(0, 120_000, "1m".parse().unwrap(), &TimeZone::UTC, 10).unwrap();
        for values in [[5.0; 2], [f64::MIN, f64::MAX], [0.0, 5e-324], [1e300; 2]] {
            let svg = drawing(Sides { left: Some(&values), ..Sides::default() }, &axis, "a");
            assert!(svg.contains("<path") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn values_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.031, "0.031"),
            (28_521.0, "28.5k"),
            (1.5e7, "15M"),
            (-2.0, "-2"),
            (100.0, "100"),
            (1e300, "1.0e300"),
            (1e-300, "1.0e-300"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
