//! The examples of the documentation are what they claim to be.

use std::process::Command;

const KEYSPACES: &str = include_str!("../../docs/KEYSPACES.md");

/// The files of a page: a comment names one, and its text follows.
fn files(page: &str) -> Vec<(&str, &str)> {
    let marked = page.split("<!-- file: ").skip(1).map(|rest| {
        let (name, rest) = rest.split_once(" -->\n```yaml\n").unwrap();
        (name, rest.split_once("\n```").unwrap().0)
    });
    marked.collect()
}

#[test]
fn the_examples_of_keyspace_files_are_sound_and_their_tests_pass() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(KEYSPACES);
    assert_eq!(files.len(), 3);
    assert_eq!(KEYSPACES.matches("```yaml").count(), files.len(), "an example is not checked");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let run = |command: &str| {
        let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).arg(command).arg(folder.path()).output().unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    let (code, told) = run("check");
    assert!(code == Some(0) && told.contains("0 error(s), 1 warning(s)"), "{told}");
    assert!(told.contains("the keyspace `storefront` has no tests"), "{told}");
    let (code, told) = run("test");
    assert!(code == Some(0) && told.contains("1 passed, 0 failed\n1 of 6 formulas covered"), "{told}");
}
