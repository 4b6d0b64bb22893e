//! One text → one checked value. Every fault says what is wrong and what would be right; none repeats a secret.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::BackendName;
use crate::series::Step;

pub fn address(text: &str) -> Result<SocketAddr, String> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    named.as_deref().unwrap_or(text).parse().map_err(|_| {
        format!("`{}` is not an address: write an IP address and a port, such as 127.0.0.1:8090", shown(text))
    })
}

pub fn backend(text: &str) -> Result<BackendName, String> {
    BackendName::named(text).ok_or_else(|| {
        let names = BackendName::ALL.map(BackendName::as_str).join(", ");
        format!("there is no backend `{}`; there are {names}", shown(text))
    })
}

/// How M3DB names series: true for `legacy`.
pub fn legacy_names(text: &str) -> Result<bool, String> {
    match text {
        "legacy" => Ok(true),
        "utf8" => Ok(false),
        _ => Err("must be legacy or utf8".to_owned()),
    }
}

/// A text that is not empty.
pub fn text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("must be a text that is not empty".to_owned());
    }
    Ok(text.to_owned())
}

/// A time between two looks: 100 ms to an hour.
pub fn interval(text: &str) -> Result<Duration, String> {
    let fault = || "must be a duration from 100ms to 1h, such as 15s".to_owned();
    deadline(text).ok().filter(|interval| *interval >= Duration::from_millis(100)).ok_or_else(fault)
}

pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("must be a path".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// A base address without its last slash.
pub fn url(text: &str) -> Result<String, String> {
    // The text itself is left out of the faults: it may hold a password.
    let url = reqwest::Url::parse(text)
        .map_err(|error| format!("this is not a URL ({error}); write one such as http://127.0.0.1:8080"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("a URL must begin with http:// or https:// and name a host".to_owned());
    }
    if url.password().is_some() || !url.username().is_empty() {
        return Err(
            "a URL must not hold a user or a password: of elasticsearch, name a file that holds the password with \
             password_file; the other databases are asked without one, so put a proxy that knows it before them"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a URL must not hold a query or a fragment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `*`, or scheme, host and port without a path, as browsers send them.
pub fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let fault = || format!("`{}` is not an origin: write one such as https://experiments.example.com", shown(text));
    let url = reqwest::Url::parse(text).map_err(|_| fault())?;
    let origin = url.origin().ascii_serialization();
    if !matches!(url.scheme(), "http" | "https") || origin != text.trim_end_matches('/').to_ascii_lowercase() {
        return Err(fault());
    }
    Ok(origin)
}

/// A pattern of stored names.
pub fn pattern(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
        return Err("must be a pattern of stored names, such as \"expo.*\"".to_owned());
    }
    Ok(text.to_owned())
}

/// Bytes: `1048576`, `1MiB`, `500 KB`.
pub fn size(text: &str, range: RangeInclusive<u64>) -> Result<usize, String> {
    let fault = || format!("`{}` is not a size: write a number and one of B, KB, MB, KiB, MiB, GiB", shown(text));
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(fault()),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor)).ok_or_else(fault)?;
    if !range.contains(&bytes) {
        return Err(format!("must be from {} to {} bytes", range.start(), range.end()));
    }
    usize::try_from(bytes).map_err(|_| fault())
}

/// A whole number, `_` allowed between digits.
pub fn count(text: &str, range: RangeInclusive<u64>) -> Result<usize, String> {
    let fault = || format!("must be a whole number from {} to {}", range.start(), range.end());
    let digits = text.replace('_', "");
    let count = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    count.filter(|count| range.contains(count)).and_then(|count| usize::try_from(count).ok()).ok_or_else(fault)
}

/// A duration that may be of the calendar.
pub fn step(text: &str) -> Result<Step, String> {
    text.parse::<Step>().map_err(|error| error.to_string())
}

/// A time limit from 1 ms to an hour: `30s`, `500ms`.
pub fn deadline(text: &str) -> Result<Duration, String> {
    let fault = || "must be a duration from 1ms to 1h, such as 500ms or 30s".to_owned();
    let millis = match text.strip_suffix("ms") {
        Some(digits) => count(digits, 1..=3_600_000).map_err(|_| fault())? as u64,
        None => text.parse::<Step>().map_err(|_| fault())?.nominal_millis() as u64,
    };
    if millis > 3_600_000 { Err(fault()) } else { Ok(Duration::from_millis(millis)) }
}

/// A keyspace's name.
pub fn keyspace(text: &str) -> Result<(), String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let first = text.bytes().next().is_some_and(letters);
    if first && text.len() <= 63 && text.bytes().all(|byte| letters(byte) || byte == b'_' || byte == b'-') {
        return Ok(());
    }
    Err(format!("`{}` is not a keyspace's name: [a-z0-9][a-z0-9_-]{{0,62}}", shown(text)))
}

/// What of a user's text is repeated in a fault.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(60).collect()
}
