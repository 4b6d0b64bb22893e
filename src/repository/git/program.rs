//! The git program, through one function: arguments in, bytes out, never a question, never for longer than a limit.
//!
//! Credentials reach it through the environment alone: arguments are seen by every user of the machine.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use rustix::process::{Pid, Signal};

use super::Credentials;

/// One command takes at most so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// An answer has at most so many bytes.
const MAX_ANSWER: u64 = 512 << 20;
/// What of git's own variables an operator may set: none of them leads elsewhere or tells more than it should.
const KEPT: [&str; 5] = ["GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH"];
/// What is said of a command that nobody wants any more.
const STOPPED: &str = "the repository is not followed any more";
/// Of git's own words, so many are repeated.
const SHOWN_WORDS: usize = 400;

/// How git is called.
pub struct Program {
    /// The server, as a setting of git's names it; empty for a file.
    server: String,
    credentials: Credentials,
    /// Set once, when no command is wanted any more.
    stopped: AtomicBool,
}

impl Program {
    /// For commands that may reach the repository at `url`.
    pub fn new(url: &str, credentials: Credentials) -> Program {
        let server = Url::parse(url).ok().filter(|url| url.scheme() == "https");
        let server = server.map_or(String::new(), |url| url.origin().ascii_serialization());
        Program { server, credentials, stopped: AtomicBool::new(false) }
    }

    /// Ends the command under way, and runs no other.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Read anew for each command, so that a token can be renewed while the service runs.
    fn environment(&self) -> Result<Vec<(String, String)>, String> {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut environment = vec![
            set("LC_ALL", "C"),
            // A question would wait for an answer that nobody gives.
            set("GIT_TERMINAL_PROMPT", "0"),
            set("GIT_ASKPASS", "false"),
            set("SSH_ASKPASS", "false"),
            set("GIT_ALLOW_PROTOCOL", "https:ssh:file"),
            set("GIT_SSH_COMMAND", &ssh_command(&self.credentials)),
        ];
        let mut settings = vec![
            // A server that says nothing is given up.
            set("http.lowSpeedLimit", "1"),
            set("http.lowSpeedTime", "20"),
            // Nothing goes on after a command has ended.
            set("gc.autoDetach", "false"),
            set("maintenance.autoDetach", "false"),
        ];
        if let Some(token) = self.credentials.token.as_ref().filter(|_| !self.server.is_empty()) {
            // Bound to the server, so that a redirect to another one does not carry it along.
            let user = self.credentials.user.as_deref().unwrap_or("git");
            let proof = STANDARD.encode(format!("{user}:{}", token.read()?));
            settings.push((format!("http.{}/.extraHeader", self.server), format!("Authorization: Basic {proof}")));
        }
        environment.push(set("GIT_CONFIG_COUNT", &settings.len().to_string()));
        for (index, (key, value)) in settings.iter().enumerate() {
            environment.push(set(&format!("GIT_CONFIG_KEY_{index}"), key));
            environment.push(set(&format!("GIT_CONFIG_VALUE_{index}"), value));
        }
        Ok(environment)
    }

    /// Runs one command in a repository and gives what it printed.
    ///
    /// # Errors
    /// Its own words, or that there is no git.
    pub fn run(&self, repository: &Path, arguments: &[&str], input: Option<&str>) -> Result<Vec<u8>, String> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(STOPPED.to_owned());
        }
        let stdin = match input {
            Some(text) => {
                Stdio::from(file_of(text).map_err(|error| format!("cannot write a temporary file: {error}"))?)
            }
            None => Stdio::null(),
        };
        let mut command = Command::new("git");
        command.current_dir(repository).args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What would lead git to another repository, or make it print what it sends.
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in inherited.filter(|name| name.starts_with("GIT_") && !KEPT.contains(&name.as_str())) {
            command.env_remove(name);
        }
        // A group of its own, so that the programs that git starts can be ended with it.
        command.env("GIT_DIR", repository).envs(self.environment()?).process_group(0);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no program `git`; install it, or name a directory".to_owned(),
            _ => format!("cannot run git: {error}"),
        })?;
        let printed = read_on_thread(child.stdout.take());
        let words = read_on_thread(child.stderr.take());
        let status = wait(&mut child, &self.stopped)?;
        let late = |_| "git does not close its output".to_owned();
        let printed = printed.recv_timeout(Duration::from_secs(5)).map_err(late)?;
        let words = words.recv_timeout(Duration::from_secs(5)).map_err(late)?;
        match status {
            true => Ok(printed),
            false => Err(shown(&words, arguments[0])),
        }
    }
}

/// Nothing is asked, unknown servers are refused, and a dead connection is noticed.
fn ssh_command(credentials: &Credentials) -> String {
    let mut command =
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15 -o ServerAliveInterval=10".to_owned();
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    if let Some(key) = &credentials.ssh_key_file {
        command.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(key)));
    }
    if let Some(hosts) = &credentials.known_hosts_file {
        command.push_str(&format!(" -o UserKnownHostsFile={}", quoted(hosts)));
    }
    command
}

/// A file to be read from its start: a pipe could fill up while nobody reads the answer.
fn file_of(text: &str) -> std::io::Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn read_on_thread(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What was read before a failure is all there is; the command's status tells of it.
            let _ = stream.take(MAX_ANSWER).read_to_end(&mut bytes);
        }
        // Nobody waits any more where the command was given up.
        let _ = send.send(bytes);
    });
    receive
}

/// Whether a command ended well; one that takes too long, or that nobody wants any more, is ended.
fn wait(child: &mut Child, stopped: &AtomicBool) -> Result<bool, String> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if begun.elapsed() < TIMEOUT && !stopped.load(Ordering::Acquire) => std::thread::sleep(pause),
            Ok(None) => {
                let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL);
                let _ = child.wait();
                return Err(match stopped.load(Ordering::Acquire) {
                    true => STOPPED.to_owned(),
                    false => format!("git did not end within {} s", TIMEOUT.as_secs()),
                });
            }
            Err(error) => return Err(format!("cannot wait for git: {error}")),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Git's own words on one line.
fn shown(words: &[u8], command: &str) -> String {
    let text = String::from_utf8_lossy(words);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text: String = lines.join("; ").chars().filter(|letter| !letter.is_control()).take(SHOWN_WORDS).collect();
    if text.is_empty() { format!("git {command} failed and gave no reason") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Secret;

    #[test]
    fn secrets_are_in_the_environment_of_one_server_only_and_are_never_shown() {
        let credentials = Credentials { token: Some(Secret::text("s3cret")), ..Credentials::default() };
        assert!(!format!("{credentials:?}").contains("s3cret"));
        let environment =
            Program::new("https://git.example.com:8443/a.git", credentials.clone()).environment().unwrap();
        let value =
            |name: &str| environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!(value("GIT_CONFIG_COUNT"), "5");
        assert_eq!(value("GIT_CONFIG_KEY_4"), "http.https://git.example.com:8443/.extraHeader");
        assert_eq!(value("GIT_CONFIG_VALUE_4"), "Authorization: Basic Z2l0OnMzY3JldA==");
        let elsewhere = Program::new("file:///srv/a.git", credentials).environment().unwrap();
        assert!(!elsewhere.iter().any(|(_, value)| value.contains("Z2l0")));
    }

    #[test]
    fn paths_of_keys_are_quoted_for_the_shell() {
        let credentials = Credentials { ssh_key_file: Some("/run/it's/key".into()), ..Credentials::default() };
        assert!(ssh_command(&credentials).ends_with(r"-i '/run/it'\''s/key'"));
    }
}
