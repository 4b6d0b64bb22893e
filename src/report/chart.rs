//! Lines over one time axis, as SVG.

use std::fmt::Write;

use super::escape;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 8.0;
/// The colours of lines in their order: apart also for those who see no red or no green.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line: what it is called, and a value for each timestamp; NaN is a gap.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// What it is called.
    pub label: &'a str,
    /// Its values.
    pub values: &'a [f64],
}

/// Lines over one another, each of its own colour and dash, with the least and greatest value and the ends of the range.
pub fn chart(lines: &[Line<'_>], from: &str, to: &str) -> String {
    let finite = || lines.iter().flat_map(|line| line.values).copied().filter(|value| value.is_finite());
    let (low, high) =
        finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return "<p class=\"note\">no data</p>\n".to_owned();
    }
    let count = lines.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let x = |index: usize| LEFT + (WIDTH - LEFT) * if count > 1 { index as f64 / (count - 1) as f64 } else { 0.5 };
    // Divided before it is subtracted, so that the greatest floats have a place too.
    let span = high / 2.0 - low / 2.0;
    // A flat line is drawn in the middle.
    let part = |value: f64| if span > 0.0 { (high / 2.0 - value / 2.0) / span } else { 0.5 };
    let y = |value: f64| TOP + (HEIGHT - BOTTOM - TOP) * part(value);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\n", HEIGHT + 20.0);
    for (value, text) in [(high, show(high)), (low, show(low))] {
        let y = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#8885\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\" fill=\"currentColor\">{text}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (place, anchor, text) in [(LEFT, "start", from), (WIDTH, "end", to)] {
        let _ = writeln!(
            svg,
            "<text x=\"{place}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"11\" fill=\"currentColor\">{}</text>",
            HEIGHT - 8.0,
            escape(text)
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let dash = if index % 2 == 0 { "" } else { " stroke-dasharray=\"6 4\"" };
        let path = path(line.values, &x, &y);
        let label = escape(line.label);
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linecap=\"round\"{dash}>\
             <title>{label}</title></path>\n<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" fill=\"{colour}\">{label}</text>",
            LEFT + 220.0 * index as f64,
            HEIGHT + 12.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A line with its gaps; a point between two gaps is a dot.
fn path(values: &[f64], x: &impl Fn(usize) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (index, value) in values.iter().enumerate() {
        if !value.is_finite() {
            drawing = false;
            continue;
        }
        let alone = !drawing && values.get(index + 1).is_none_or(|next| !next.is_finite());
        let _ = write!(path, "{}{:.1} {:.1}", if drawing { "L" } else { "M" }, x(index), y(*value));
        path.push_str(if alone { "h0" } else { "" });
        drawing = true;
    }
    path
}

fn show(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) { format!("{value:.3e}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::{Line, chart};

    #[test]
    fn gaps_break_a_line_and_labels_are_escaped() {
        let values = [1.0, f64::NAN, 2.0, 3.0];
        let drawn = chart(&[Line { label: "<a&\"", values: &values }], "from", "to");
        assert!(drawn.contains("&lt;a&amp;&quot;") && !drawn.contains("<a&"), "{drawn}");
        assert_eq!((drawn.matches('M').count(), drawn.matches('L').count(), drawn.matches("h0").count()), (2, 1, 1));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }

    #[test]
    fn extremes_have_a_place() {
        for values in [vec![], vec![f64::NAN], vec![5.0], vec![f64::MIN, f64::MAX], vec![0.0, 5e-324], vec![1e300; 2]] {
            let drawn = chart(&[Line { label: "a", values: &values }], "", "");
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
