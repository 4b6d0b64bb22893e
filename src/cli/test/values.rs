//! The notation of a test's points: `100x3 _ 0+10x4` is three times 100, a gap, then 0 10 20 30.

/// A series of a test has at most so many values.
pub const MAX_VALUES: usize = 1_000_000;

/// Reads the notation; `None` is a gap.
///
/// # Errors
/// The word that is wrong and what would be right.
pub fn parse(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let run = run(word).ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            format!(
                "`{shown}` is none of: a number, `_` for a gap, `100x3` for a repeat, `0+10x4` or `10-2x3` for a ramp"
            )
        })?;
        if values.len() + run.count > MAX_VALUES {
            return Err(format!("a series of a test has at most {MAX_VALUES} values"));
        }
        values.extend((0..run.count).map(|index| run.first.map(|first| first + run.slope * index as f64)));
    }
    if values.iter().flatten().any(|value| !value.is_finite()) {
        return Err("a ramp goes beyond what a 64-bit float can hold".to_owned());
    }
    Ok(values)
}

/// `count` values from `first` on, `slope` apart; no `first` is a gap.
struct Run {
    first: Option<f64>,
    slope: f64,
    count: usize,
}

fn run(word: &str) -> Option<Run> {
    let (base, count) = match word.split_once('x') {
        None => (word, None),
        Some((base, count)) => (base, Some(repeat(count)?)),
    };
    if base == "_" {
        return Some(Run { first: None, slope: 0.0, count: count.unwrap_or(1) });
    }
    if let Some(first) = number(base) {
        return Some(Run { first: Some(first), slope: 0.0, count: count.unwrap_or(1) });
    }
    let (first, slope) = ramp(base)?;
    // A ramp without a count would be one value and a slope that nothing uses.
    Some(Run { first: Some(first), slope, count: count? })
}

/// `0+10`, `10-2`, `1e-3+2.5`: the sign that joins them is neither the first letter nor an exponent's.
fn ramp(text: &str) -> Option<(f64, f64)> {
    let bytes = text.as_bytes();
    let joins = |index: &usize| matches!(bytes[*index], b'+' | b'-') && !matches!(bytes[*index - 1], b'e' | b'E');
    let at = (1..bytes.len()).find(joins)?;
    let slope = number(&text[at + 1..]).filter(|slope| !slope.is_sign_negative())?;
    Some((number(&text[..at])?, if bytes[at] == b'-' { -slope } else { slope }))
}

fn repeat(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok().filter(|count| *count > 0) } else { None }
}

/// A finite number, written with digits: no `inf`, `nan` or leading `+`.
fn number(text: &str) -> Option<f64> {
    let begins = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    if !begins.is_ascii_digit() && begins != b'.' {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation() {
        let cases: [(&str, &[f64]); 10] = [
            ("100x3 _ 0+10x4", &[100.0, 100.0, 100.0, f64::NAN, 0.0, 10.0, 20.0, 30.0]),
            ("3 4 _ 1", &[3.0, 4.0, f64::NAN, 1.0]),
            ("10-2x3", &[10.0, 8.0, 6.0]),
            ("_x3 1", &[f64::NAN, f64::NAN, f64::NAN, 1.0]),
            ("-1.5 1e3 2E-2 .5", &[-1.5, 1000.0, 0.02, 0.5]),
            ("-5x2", &[-5.0, -5.0]),
            ("-5+2.5x3", &[-5.0, -2.5, 0.0]),
            ("1e-1+1x2", &[0.1, 1.1]),
            ("1e3-5e2x3", &[1000.0, 500.0, 0.0]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let values: Vec<f64> = parse(text).unwrap().into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            assert_eq!(format!("{values:?}"), format!("{expected:?}"), "{text}");
        }
    }

    #[test]
    fn faults() {
        for text in [
            "x",
            "3x",
            "x3",
            "3x0",
            "3x-1",
            "0+10",
            "a",
            "1,2",
            "__",
            "_+1x2",
            "inf",
            "nan",
            "1e999",
            "+1",
            "3x2x2",
            "1+-2x3",
            "1++2x3",
            "9x999999999",
            "9x99999999999999999999",
            "1e308+1e308x9",
            "−1",
            "1_0",
            "1x1e3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
