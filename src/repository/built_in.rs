//! Files that are part of the program.

use std::sync::Arc;

use super::{Hints, Listing, RepositoryError, Source, SourceFile, Watch};

/// Files of the program: path and text. They never change.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn(pub &'static [(&'static str, &'static str)]);

impl Source for BuiltIn {
    fn place(&self) -> String {
        "the program".to_owned()
    }

    fn list(&self) -> Result<Listing, RepositoryError> {
        let files = self.0.iter().filter_map(|(path, _)| self.read(path)).collect();
        Ok(Listing { revision: Some(format!("built-in-{}", env!("CARGO_PKG_VERSION"))), files, strays: Vec::new() })
    }

    fn read(&self, path: &str) -> Option<SourceFile> {
        let (path, text) = self.0.iter().find(|(own, _)| *own == path)?;
        Some(SourceFile { path: (*path).to_owned(), content: Ok(text.as_bytes().to_vec()) })
    }

    fn gives_hints(&self) -> bool {
        false
    }

    fn watch(self: Arc<Self>, _: Arc<Hints>) -> Option<Watch> {
        None
    }
}
