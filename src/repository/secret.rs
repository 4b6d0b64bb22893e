//! What must be shown to nobody: from a file, or from the environment.

use std::fmt;
use std::path::PathBuf;

/// A file that holds a secret is no larger.
const MAX_SECRET: u64 = 64 << 10;

/// A secret, or the file that it is in.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Held);

#[derive(Clone, PartialEq, Eq)]
enum Held {
    Text(String),
    File(PathBuf),
}

impl Secret {
    /// The secret itself.
    pub fn text(text: impl Into<String>) -> Secret {
        Secret(Held::Text(text.into()))
    }

    /// The first line of a file, read each time it is needed, so that it can be renewed.
    pub fn file(path: impl Into<PathBuf>) -> Secret {
        Secret(Held::File(path.into()))
    }

    /// The secret at this moment.
    ///
    /// # Errors
    /// When its file cannot be read, is too large, or begins with an empty line.
    pub fn read(&self) -> Result<String, String> {
        let path = match &self.0 {
            Held::Text(text) => return Ok(text.clone()),
            Held::File(path) => path,
        };
        let named = |reason: &dyn fmt::Display| format!("cannot read the secret in {}: {reason}", path.display());
        let size = std::fs::metadata(path).map_err(|error| named(&error))?.len();
        if size > MAX_SECRET {
            return Err(named(&"the file is too large for one"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
        line.map(str::to_owned).ok_or_else(|| named(&"its first line is empty"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Held::Text(_) => f.write_str("***"),
            Held::File(path) => write!(f, "*** of {}", path.display()),
        }
    }
}
