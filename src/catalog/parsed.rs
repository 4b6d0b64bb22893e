//! One file, read: what it says and what is wrong with it, whatever keyspace will use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::spec::{self, Spec};
use super::yaml;
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
}

impl ParsedFile {
    /// Parses a file; what is wrong with it is kept beside what could be read.
    pub fn parse(file: &SourceFile) -> ParsedFile {
        let mut faults = Vec::new();
        let spec = read(&file.path, &file.content, &mut faults).unwrap_or_default();
        ParsedFile { hash: file.hash(), spec, faults }
    }

    /// What was found in it alone.
    pub fn faults(&self) -> &[Diagnostic] {
        &self.faults
    }

    /// Whether it could not be read whole, so that missing names are not its users' fault.
    pub(super) fn is_broken(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }
}

/// The first place of a file.
pub(super) fn start_of(path: &str) -> Location {
    Location { file: path.to_owned(), line: 1, column: 1 }
}

fn read(path: &str, content: &Result<Vec<u8>, String>, faults: &mut Vec<Diagnostic>) -> Option<Spec> {
    let bytes = match content {
        Ok(bytes) if bytes.len() as u64 <= MAX_FILE => bytes,
        Ok(_) => {
            faults.push(
                Diagnostic::error("file_limit", start_of(path), "the file is larger than 1 MiB").with_hint("split it"),
            );
            return None;
        }
        Err(reason) => {
            faults
                .push(Diagnostic::error("unreadable_file", start_of(path), reason.clone()).with_hint("mend the file"));
            return None;
        }
    };
    match yaml::read(path, bytes) {
        Ok(Some(node)) => Some(spec::read(&node, faults)),
        Ok(None) => Some(Spec::default()),
        Err(found) => {
            faults.extend(found);
            None
        }
    }
}
