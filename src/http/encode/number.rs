//! Numbers as text.

/// Whole numbers below it are written as integers: each of them is exact as a float, and so is its text.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The shortest text that reads as the same float, whole numbers without a fraction, −0 as 0, null for what is not finite.
pub fn write_value(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        write_integer(out, value as i64);
    } else {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
}

/// An integer.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    // Writing a number to memory does not fail.
    let _ = serde_json::to_writer(out, &value);
}
