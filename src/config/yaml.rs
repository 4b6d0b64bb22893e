//! YAML that operators and testers write → types of serde, with the place of what is wrong.

use serde::de::DeserializeOwned;
use serde_yaml::Error;

/// What is wrong, and the line and column where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlFault {
    /// Line and column from 1.
    pub place: Option<(u64, u64)>,
    /// A sentence.
    pub message: String,
}

impl YamlFault {
    /// `file:line:column: message`.
    pub fn at(&self, file: &str) -> String {
        match self.place {
            Some((line, column)) => format!("{file}:{line}:{column}: {}", self.message),
            None => format!("{file}: {}", self.message),
        }
    }
}

/// Reads one document. A file without content is the type's default.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, YamlFault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| YamlFault { place: None, message: "the file is not UTF-8 text".to_owned() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(T::default());
    }
    // As in keyspace files, `y`, `no` and `on` are texts.
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(text, options).map_err(|error| fault(&error))
}

fn fault(error: &Error) -> YamlFault {
    let place = error.location().map(|at| (at.line(), at.column())).filter(|place| place.0 > 0);
    let message = error.without_snippet().to_string();
    let message = message.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    // The place is said before the message, in the form of all other places.
    let message = match message.find(" at line ") {
        Some(end) if place.is_some() => message[..end].to_owned(),
        _ => message,
    };
    YamlFault { place, message: message.lines().collect::<Vec<_>>().join("; ") }
}
