//! A folder of a git repository: fetched without its history into a repository of this process alone, read without a work
//! tree.

mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{
    GitLocation, Hints, Listing, MAX_BYTES, MAX_FILE, RepositoryError, Secret, Source, SourceFile, Watch,
    is_of_repository, is_stray, too_large, too_large_together, too_many,
};
use program::Program;

/// What is fetched is kept under this name.
const SERVED: &str = "refs/tsdb-ws/served";
/// How long a command under way may take to end when the source is closed.
const FAREWELL: Duration = Duration::from_secs(2);
/// A commit is shown by so many digits.
const SHOWN_DIGITS: usize = 12;

/// How to prove to a git server who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name over HTTPS; many servers take any beside a token.
    pub user: Option<String>,
    /// The token or password over HTTPS.
    pub token: Option<Secret>,
    /// The private key over SSH.
    pub ssh_key_file: Option<PathBuf>,
    /// The servers' public keys over SSH; without it, those that the user of the process knows.
    pub known_hosts_file: Option<PathBuf>,
}

/// A folder of a git repository.
pub struct Git {
    location: GitLocation,
    program: Program,
    max_files: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Removed with the source. `None` before the first listing.
    clone: Option<TempDir>,
    /// The commit that was listed last.
    commit: String,
    listed: Vec<SourceFile>,
    strays: Vec<String>,
    /// The files of `listed` by their object's name, so that a new commit reads only what it changed.
    objects: BTreeMap<String, Result<Vec<u8>, String>>,
}

/// A file of a commit.
struct Entry {
    path: String,
    object: String,
    content: Result<(), String>,
}

impl Git {
    /// The repository at a location, which may hold so many files there.
    pub fn new(location: GitLocation, credentials: Credentials, max_files: usize) -> Git {
        let program = Program::new(&location.url, credentials);
        Git { location, program, max_files, state: Mutex::default() }
    }

    fn list_commit(&self, state: &mut State) -> Result<(), String> {
        if state.clone.as_ref().is_none_or(|clone| !clone.path().join("HEAD").exists()) {
            let clone = tempfile::Builder::new().prefix("tsdb-ws-git-").tempdir();
            let clone = clone.map_err(|error| format!("cannot make a temporary folder: {error}"))?;
            self.program.run(clone.path(), &["init", "--quiet", "--bare", "."], None)?;
            *state = State { clone: Some(clone), ..State::default() };
        }
        let Some(clone) = state.clone.as_ref().map(|clone| clone.path().to_owned()) else { return Ok(()) };
        let refspec = format!("+{}:{SERVED}", self.location.reference);
        let fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--", &self.location.url, &refspec];
        self.program.run(&clone, &fetch, None)?;
        let commit = self.program.run(&clone, &["rev-parse", "--verify", &format!("{SERVED}^{{commit}}")], None)?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        if commit == state.commit {
            return Ok(());
        }
        let tree = match self.location.folder.as_str() {
            "" => commit.clone(),
            folder => format!("{commit}:{folder}"),
        };
        let entries = self.program.run(&clone, &["ls-tree", "-r", "-z", "-l", "--full-tree", &tree], None);
        let entries = entries.map_err(|reason| match self.location.folder.as_str() {
            "" => reason,
            folder => format!("its commit {} has no folder {folder}: {reason}", short(&commit)),
        })?;
        let (entries, strays) = self.entries(&entries)?;
        let objects = self.objects(&clone, &entries, &state.objects)?;
        let content = |entry: &Entry| match &entry.content {
            Ok(()) => objects.get(&entry.object).cloned().unwrap_or_else(|| Err("its object is missing".to_owned())),
            Err(reason) => Err(reason.clone()),
        };
        state.listed =
            entries.iter().map(|entry| SourceFile { path: entry.path.clone(), content: content(entry) }).collect();
        state.listed.sort_by(|a, b| a.path.cmp(&b.path));
        state.strays = strays;
        state.objects = objects;
        state.commit = commit;
        Ok(())
    }

    /// The keyspace files among `<mode> <type> <object> <size>\t<path>\0…`, and the files that only their names keep from
    /// being some.
    fn entries(&self, listing: &[u8]) -> Result<(Vec<Entry>, Vec<String>), String> {
        let (mut entries, mut strays) = (Vec::new(), Vec::new());
        let (mut bytes, mut folders) = (0, BTreeSet::new());
        for line in listing.split(|byte| *byte == 0) {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let Some((facts, path)) = line.split_once('\t') else { continue };
            if !is_of_repository(path) {
                // Of a folder that is too deep, the first tells enough.
                let folder = path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
                let is_told = path.matches('/').count() > 1 && folders.contains(&folder);
                if is_stray(path) && !is_told {
                    folders.insert(folder);
                    strays.push(path.to_owned());
                }
                continue;
            }
            let facts: Vec<&str> = facts.split_whitespace().collect();
            let [mode, _, object, size] = facts[..] else { continue };
            let size: u64 = size.parse().unwrap_or(0);
            let content = match mode {
                "100644" | "100755" | "100664" if size > MAX_FILE => Err(too_large()),
                "100644" | "100755" | "100664" => Ok(()),
                _ => Err("this is a link, which is not followed in git; put the file itself there".to_owned()),
            };
            bytes += if content.is_ok() { size } else { 0 };
            entries.push(Entry { path: path.to_owned(), object: object.to_owned(), content });
        }
        if entries.len() > self.max_files {
            return Err(too_many(self.max_files));
        }
        if bytes > MAX_BYTES {
            return Err(too_large_together());
        }
        Ok((entries, strays))
    }

    /// The contents of files by object: those that were read before, and the others in one go.
    fn objects(
        &self,
        clone: &std::path::Path,
        entries: &[Entry],
        known: &BTreeMap<String, Result<Vec<u8>, String>>,
    ) -> Result<BTreeMap<String, Result<Vec<u8>, String>>, String> {
        let mut objects = BTreeMap::new();
        let mut wanted = Vec::new();
        for entry in entries.iter().filter(|entry| entry.content.is_ok()) {
            match known.get(&entry.object) {
                Some(content) => drop(objects.insert(entry.object.clone(), content.clone())),
                None => wanted.push(entry.object.as_str()),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(objects);
        }
        let answer = self.program.run(clone, &["cat-file", "--batch"], Some(&wanted.join("\n")))?;
        let mut rest = answer.as_slice();
        for object in wanted {
            let content = next_object(&mut rest).ok_or("git's answer ends early")?;
            objects.insert(object.to_owned(), Ok(content.to_vec()));
        }
        Ok(objects)
    }
}

/// The first of `<object> <type> <size>\n<content>\n…`.
pub fn next_object<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&rest[..end]).ok()?;
    let size: usize = head.rsplit_once(' ')?.1.parse().ok()?;
    let content = rest.get(end + 1..end + 1 + size)?;
    *rest = rest.get(end + 1 + size + 1..)?;
    Some(content)
}

fn short(commit: &str) -> &str {
    commit.get(..SHOWN_DIGITS).unwrap_or(commit)
}

impl Source for Git {
    fn place(&self) -> String {
        self.location.to_string()
    }

    fn list(&self) -> Result<Listing, RepositoryError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |reason| RepositoryError::Unreadable { place: self.place(), reason };
        self.list_commit(&mut state).map_err(failed)?;
        Ok(Listing {
            revision: Some(short(&state.commit).to_owned()),
            files: state.listed.clone(),
            strays: state.strays.clone(),
        })
    }

    fn read(&self, path: &str) -> Option<SourceFile> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listed.iter().find(|file| file.path == path).cloned()
    }

    fn gives_hints(&self) -> bool {
        false
    }

    fn watch(self: Arc<Self>, _: Arc<Hints>) -> Option<Watch> {
        None
    }

    fn close(&self) {
        // A command under way ends at once, so that its folder is free soon.
        self.program.stop();
        let begun = Instant::now();
        while begun.elapsed() < FAREWELL {
            match self.state.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
                Ok(mut state) => return state.clone = None,
                Err(TryLockError::Poisoned(state)) => return state.into_inner().clone = None,
            }
        }
        tracing::warn!("git does not end; its temporary folder stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_by_their_sizes() {
        let mut answer: &[u8] = b"aa blob 3\na\nb\nbb blob 0\n\n";
        assert_eq!(next_object(&mut answer), Some(&b"a\nb"[..]));
        assert_eq!(next_object(&mut answer), Some(&b""[..]));
        assert_eq!(next_object(&mut answer), None);
        assert_eq!(next_object(&mut &b"aa missing\n"[..]), None);
    }
}
