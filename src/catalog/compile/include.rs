//! Libraries: which files make a keyspace.

use std::collections::BTreeSet;

use super::Builder;
use crate::diagnostic::{Location, nearest, shorten};

/// A file whose libraries are being looked at.
struct Visit<'a> {
    path: &'a str,
    /// Which of its libraries comes next.
    next: usize,
}

impl<'a> Builder<'a> {
    /// The files of a keyspace and the libraries that they pull in, each once.
    pub(super) fn with_includes(&mut self, paths: &[&'a str]) -> Vec<&'a str> {
        let mut found: Vec<&'a str> = Vec::new();
        let mut seen: BTreeSet<&'a str> = BTreeSet::new();
        for path in paths {
            if seen.insert(path) {
                found.push(path);
            }
            // Depth first, each file once however many ways lead to it; a file that is still open closes a cycle.
            let mut open = vec![Visit { path, next: 0 }];
            while let Some(visit) = open.last_mut() {
                let Some((include, location)) = self.files[visit.path].spec.include.get(visit.next) else {
                    open.pop();
                    continue;
                };
                visit.next += 1;
                let from = visit.path;
                let Some(library) = self.library(from, include, location) else {
                    self.whole = false;
                    continue;
                };
                if let Some(begin) = open.iter().position(|visit| visit.path == library) {
                    let cycle = open[begin..].iter().map(|visit| visit.path).chain([library]);
                    let message = format!("libraries include one another: {}", cycle.collect::<Vec<_>>().join(" → "));
                    self.error("include_cycle", location, message, "remove one of these includes");
                } else if seen.insert(library) {
                    found.push(library);
                    open.push(Visit { path: library, next: 0 });
                }
            }
        }
        found
    }

    /// The file of a library, in the folder of the file that includes it or beside it.
    fn library(&mut self, from: &str, include: &str, location: &Location) -> Option<&'a str> {
        let shown = shorten(include, 60);
        if !include.starts_with('_') || include.contains(['/', '\\']) {
            let message = format!("`{shown}` is not a library of this repository");
            let hint = "include libraries by name, such as _common for the file _common.yaml, without a path";
            self.error("invalid_include", location, message, hint);
            return None;
        }
        let folder = from.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let candidates = [format!("{folder}{include}.yaml"), format!("{include}.yaml")];
        let library = candidates.iter().find_map(|name| self.files.get_key_value(name));
        self.libraries.extend(candidates);
        if library.is_none() {
            let stems =
                self.files.keys().filter(|path| path.starts_with('_')).filter_map(|path| path.strip_suffix(".yaml"));
            let hint = match (include.strip_suffix(".yaml"), nearest(include, stems)) {
                (Some(stem), _) => format!("write {}, without .yaml", shorten(stem, 60)),
                (None, Some(nearest)) => format!("did you mean `{nearest}`?"),
                (None, None) => "add the file, or mend the name".to_owned(),
            };
            self.error("unknown_include", location, format!("there is no library `{shown}.yaml`"), &hint);
        }
        library.map(|(path, _)| path.as_str())
    }
}
