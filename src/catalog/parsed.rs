//! One file, read: what it says and what is wrong with it, whatever keyspace will use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::spec::{self, Spec};
use super::yaml::{self, Document};
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::repository::{MAX_FILE, SourceFile};

/// The parsed files of a repository, by path.
pub type ParsedFiles = BTreeMap<String, Arc<ParsedFile>>;

/// A keyspace file or a library, parsed once for all keyspaces that it is part of.
#[derive(Debug)]
pub struct ParsedFile {
    /// Of its content.
    pub(super) hash: blake3::Hash,
    pub(super) spec: Spec,
    /// What was found in it alone.
    pub(super) faults: Vec<Diagnostic>,
    /// False where it could not be read to its end, so that missing names are not its users' fault.
    pub(super) whole: bool,
}

impl ParsedFile {
    /// Parses a file; what is wrong with it is kept beside what could be read.
    pub fn parse(file: &SourceFile) -> ParsedFile {
        let mut faults = Vec::new();
        let document = read(&file.path, &file.content, &mut faults);
        // A file that is no mapping says nothing of what it would define.
        let whole = document.whole && document.root.as_ref().is_none_or(|root| root.is_null() || root.is_mapping());
        let spec = document.root.map(|root| spec::read(&root, &mut faults)).unwrap_or_default();
        ParsedFile { hash: file.hash(), spec, faults, whole }
    }

    /// What was found in it alone.
    pub fn faults(&self) -> &[Diagnostic] {
        &self.faults
    }

    /// Whether it has an error of its own.
    pub(super) fn is_broken(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }
}

fn read(path: &str, content: &Result<Vec<u8>, String>, faults: &mut Vec<Diagnostic>) -> Document {
    let fault = match content {
        Ok(bytes) if bytes.len() as u64 <= MAX_FILE => return yaml::read(path, bytes, faults),
        Ok(_) => Diagnostic::error("file_limit", Location::start(path), "the file is larger than 1 MiB")
            .with_hint("split it: make it a folder of files"),
        Err(reason) => unreadable_file(path, reason),
    };
    faults.push(fault);
    Document::default()
}

/// What is said of a file that could not be read.
pub fn unreadable_file(path: &str, reason: &str) -> Diagnostic {
    Diagnostic::error("unreadable_file", Location::start(path), reason)
        .with_hint("put a regular file of at most 1 MiB here, inside the repository")
}
