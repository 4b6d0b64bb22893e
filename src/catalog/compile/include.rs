//! Libraries: which files make a keyspace.

use super::Builder;

impl<'a> Builder<'a> {
    /// The files of a keyspace and the libraries that they pull in, each once.
    pub(super) fn with_includes(&mut self, paths: &[&'a str]) -> Vec<&'a str> {
        let mut found: Vec<&'a str> = Vec::new();
        let mut pending: Vec<(&'a str, Vec<&'a str>)> = Vec::new();
        for path in paths {
            pending.push((path, Vec::new()));
        }
        while let Some((path, chain)) = pending.pop() {
            if !found.contains(&path) {
                found.push(path);
            }
            for (include, location) in &self.files[path].spec.include {
                let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
                let candidates = [format!("{folder}{include}.yaml"), format!("{include}.yaml")];
                let library = candidates.iter().find_map(|name| self.files.get_key_value(name));
                let library = library.map(|(path, _)| path.as_str());
                self.libraries.extend(candidates.iter().cloned());
                match library {
                    _ if !include.starts_with('_') || include.contains(['/', '\\']) => {
                        self.error(
                            "invalid_include",
                            location,
                            format!("`{include}` is not a library"),
                            "include names such as _common, without a path",
                        );
                    }
                    None => self.error(
                        "unknown_include",
                        location,
                        format!("there is no library `{include}.yaml`"),
                        "add the file, or mend the name",
                    ),
                    Some(library) if chain.contains(&library) || library == path => {
                        let names: Vec<&str> = chain.iter().copied().chain([path, library]).collect();
                        self.error(
                            "include_cycle",
                            location,
                            format!("libraries include one another: {}", names.join(" → ")),
                            "break the cycle",
                        );
                    }
                    Some(library) => {
                        let mut chain = chain.clone();
                        chain.push(path);
                        pending.push((library, chain));
                    }
                }
                if self.faults.len() > 100 {
                    return found;
                }
            }
        }
        found
    }
}
