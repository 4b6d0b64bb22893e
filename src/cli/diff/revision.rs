//! The keyspace files of a directory, or of a revision of the git repository that holds one.
//!
//! Through the `git` program: whoever compares revisions has it, and it reads every form of repository that it has written.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::repository::{self, Directory, Listing, MAX_FILE, Source, SourceFile, is_of_repository, next_object};

/// Lists a directory of at most `files` files where there is one of that name, else the revision of the repository that holds
/// `formulas`.
pub fn list(name: &str, formulas: &Path, files: usize) -> anyhow::Result<Listing> {
    if Path::new(name).is_dir() {
        return Ok(Directory::new(name, files).list()?);
    }
    let git = Git { directory: formulas };
    if !formulas.is_dir() {
        bail!("there is no directory `{name}`, and none named {} whose revision it could be", formulas.display());
    }
    let revision = format!("{name}^{{commit}}");
    let commit = git
        .text(&["rev-parse", "--verify", "--end-of-options", &revision])
        .with_context(|| format!("`{name}` is neither a directory nor a revision of {}", formulas.display()))?;
    let prefix = git.text(&["rev-parse", "--show-prefix"])?;
    let files = git.files(commit.trim(), prefix.trim_end_matches('\n'))?;
    Ok(Listing { revision: Some(commit.trim().chars().take(12).collect()), files, strays: Vec::new() })
}

struct Git<'a> {
    directory: &'a Path,
}

/// A file of a tree.
struct Entry {
    object: String,
    size: u64,
    path: String,
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.directory).args(arguments).stdin(Stdio::null());
        command
    }

    fn bytes(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = self.command(arguments).output().context("cannot run the `git` program")?;
        if !output.status.success() {
            bail!("git {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    fn text(&self, arguments: &[&str]) -> anyhow::Result<String> {
        String::from_utf8(self.bytes(arguments)?).context("git answered in something else than UTF-8")
    }

    /// The keyspace files below a folder of a commit, as a directory would be listed: two levels, no hidden names.
    fn files(&self, commit: &str, prefix: &str) -> anyhow::Result<Vec<SourceFile>> {
        let tree = self.text(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", prefix_or_root(prefix)])?;
        let entries: Vec<Entry> = tree.split('\0').filter_map(|line| entry(line, prefix)).collect();
        let wanted: Vec<&Entry> = entries.iter().filter(|entry| entry.size <= MAX_FILE).collect();
        let mut contents = self.contents(&wanted)?.into_iter();
        let mut files = Vec::with_capacity(entries.len());
        for entry in &entries {
            let content = match entry.size <= MAX_FILE {
                true => Ok(contents.next().context("git answered fewer files than it listed")?),
                false => Err(repository::too_large()),
            };
            files.push(SourceFile { path: entry.path.clone(), content });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The contents of objects in their order, from one process.
    fn contents(&self, entries: &[&Entry]) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut command = self.command(&["cat-file", "--batch"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot run the `git` program")?;
        let mut input = child.stdin.take().context("git reads no input")?;
        let names: String = entries.iter().map(|entry| format!("{}\n", entry.object)).collect();
        // On a thread of its own: git answers while it reads, and either pipe may be full.
        let writer = std::thread::spawn(move || input.write_all(names.as_bytes()));
        let output = child.wait_with_output()?;
        if !matches!(writer.join(), Ok(Ok(()))) || !output.status.success() {
            bail!("git cat-file broke off");
        }
        let mut rest = output.stdout.as_slice();
        let mut contents = Vec::with_capacity(entries.len());
        for _ in entries {
            contents.push(next_object(&mut rest).context("git cat-file broke off")?.to_vec());
        }
        Ok(contents)
    }
}

fn prefix_or_root(prefix: &str) -> &str {
    if prefix.is_empty() { "." } else { prefix }
}

/// `<mode> blob <object> <size>\t<path>`
fn entry(line: &str, prefix: &str) -> Option<Entry> {
    let (about, path) = line.split_once('\t')?;
    let path = path.strip_prefix(prefix)?;
    let mut about = about.split_whitespace();
    let (_, kind, object, size) = (about.next()?, about.next()?, about.next()?, about.next()?);
    (kind == "blob" && is_of_repository(path)).then(|| Entry {
        object: object.to_owned(),
        size: size.parse().unwrap_or(u64::MAX),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn entries_of_a_tree() {
        let of = |line: &str| entry(line, "formulas/").map(|entry| (entry.path, entry.size));
        assert_eq!(of("100644 blob abc     12\tformulas/a.yaml"), Some(("a.yaml".to_owned(), 12)));
        assert_eq!(of("100644 blob abc 12\tformulas/a/b c.yaml"), Some(("a/b c.yaml".to_owned(), 12)));
        for line in [
            "100644 blob abc 12\tother/a.yaml",
            "100644 blob abc 12\tformulas/a/b/c.yaml",
            "100644 blob abc 12\tformulas/.a.yaml",
            "100644 blob abc 12\tformulas/a.yml",
            "160000 commit abc -\tformulas/a.yaml",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
