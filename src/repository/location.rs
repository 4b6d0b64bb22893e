//! What an operator writes to say where keyspace files are: a directory, or `git+URL#ref:folder`.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;

/// Where keyspace files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Directory(PathBuf),
    /// A folder of a git repository.
    Git(GitLocation),
}

/// A folder of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitLocation {
    /// `https`, `ssh` or `file`; holds no password.
    pub url: String,
    /// A branch, a tag or a whole commit; `HEAD` where none is named.
    pub reference: String,
    /// Relative to the top, without `/` at its ends; empty for the top.
    pub folder: String,
}

impl Location {
    /// Reads what an operator wrote.
    ///
    /// # Errors
    /// What is wrong with it, without repeating a password.
    pub fn parse(text: &str) -> Result<Location, String> {
        match text.strip_prefix("git+") {
            Some(rest) => GitLocation::parse(rest).map(Location::Git),
            None if text.is_empty() || text.contains('\0') => Err("must be a path, or git+URL#ref:folder".to_owned()),
            None => Ok(Location::Directory(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Directory(path) => path.display().fmt(f),
            Location::Git(git) => git.fmt(f),
        }
    }
}

impl fmt::Display for GitLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git+{}#{}:{}", self.url, self.reference, self.folder)
    }
}

impl GitLocation {
    /// `URL#ref:folder`; the reference and the folder may be left out.
    fn parse(text: &str) -> Result<GitLocation, String> {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        Ok(GitLocation { url: check_url(url)?, reference: check_reference(reference)?, folder: check_folder(folder)? })
    }
}

fn check_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("this is not a URL ({error}); write one such as git+https://git.example.com/formulas.git#main")
    })?;
    match url.scheme() {
        "https" | "ssh" if url.has_host() => {}
        "file" if !url.path().is_empty() => {}
        _ => return Err("a git repository is named by git+https://, git+ssh:// or git+file://".to_owned()),
    }
    if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
        return Err("a URL must not hold a user's token or password: name a file with repository.token_file".to_owned());
    }
    if url.query().is_some() {
        return Err("the URL of a git repository has no query".to_owned());
    }
    Ok(text.to_owned())
}

/// What git itself takes for a name, and nothing that it could take for an option or a range.
fn check_reference(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok("HEAD".to_owned());
    }
    let letters = |letter: char| letter.is_alphanumeric() || "-_./+@".contains(letter);
    let sound =
        text.chars().all(letters) && !text.starts_with(['-', '/', '+']) && !text.contains("..") && !text.contains("@{");
    if sound { Ok(text.to_owned()) } else { Err("after # comes a branch, a tag or a whole commit".to_owned()) }
}

fn check_folder(text: &str) -> Result<String, String> {
    let folder = text.trim_matches('/');
    let sound = folder.is_empty() || folder.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match sound && !folder.chars().any(char::is_control) {
        true => Ok(folder.to_owned()),
        false => Err("after #ref: comes a folder of the repository, such as #main:formulas".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_write() {
        for (text, expected) in [
            ("formulas", "formulas"),
            ("git+https://git.example.com/a/b.git", "git+https://git.example.com/a/b.git#HEAD:"),
            ("git+https://git.example.com/b.git#main", "git+https://git.example.com/b.git#main:"),
            (
                "git+ssh://git@git.example.com/b.git#v1.2:/formulas/eu/",
                "git+ssh://git@git.example.com/b.git#v1.2:formulas/eu",
            ),
            ("git+file:///srv/b.git#:formulas", "git+file:///srv/b.git#HEAD:formulas"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), expected);
        }
        for text in [
            "",
            "git+b.git",
            "git+ftp://host/b.git",
            "git+http://host/b.git",
            "git+https://me:secret@host/b.git",
            "git+https://secret@host/b.git",
            "git+ssh://git:secret@host/b.git",
            "git+https://host/b.git?token=secret",
            "git+file:///b.git#--upload-pack=x",
            "git+file:///b.git#a..b",
            "git+file:///b.git#main:../outside",
        ] {
            let fault = Location::parse(text).unwrap_err();
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
