//! `check` as an author meets it: broken files, files that deserve a warning, formats, exit statuses.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/check");

/// Exit status and what was printed.
fn check(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"))
        .args(["check", "."])
        .args(arguments)
        .env_remove("GITHUB_WORKSPACE")
        .current_dir(directory)
        .output()
        .unwrap();
    (run.status.code().unwrap(), String::from_utf8(run.stdout).unwrap() + &String::from_utf8_lossy(&run.stderr))
}

/// Every case of a kind: its name, and a repository that holds it.
fn cases(kind: &str) -> Vec<(String, tempfile::TempDir)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(DATA).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let repository = tempfile::tempdir().unwrap();
        if let Some(name) = file.strip_suffix(&format!(".{kind}.yaml")) {
            std::fs::copy(&path, repository.path().join(format!("{name}.yaml"))).unwrap();
            cases.push((name.to_owned(), repository));
        } else if let Some(name) = file.strip_suffix(&format!(".{kind}")) {
            copy(&path, repository.path());
            cases.push((name.to_owned(), repository));
        }
    }
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(std::fs::copy(&path, target).is_ok()) }
    }
}

fn hold(name: &str, kind: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(DATA);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{name}.{kind}"), told));
}

#[test]
fn every_broken_file_gets_what_a_person_needs_to_mend_it() {
    let cases = cases("bad");
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for (name, repository) in cases {
        let (status, told) = check(repository.path(), &[]);
        assert_eq!(status, 1, "{name}: {told}");
        hold(&name, "bad", &told);
        let found: Vec<Value> = serde_json::from_str(&check(repository.path(), &["--format", "json"]).1).unwrap();
        for found in found {
            let place = [&found["line"], &found["column"]].map(|number| number.as_u64().unwrap());
            assert!(place[0] >= 1 && place[1] >= 1 && !found["file"].as_str().unwrap().is_empty(), "{name}: {found}");
            assert!(found["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{name} has no hint: {found}");
        }
    }
}

#[test]
fn what_is_legal_and_surely_not_meant_is_a_warning() {
    let cases = cases("warn");
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for (name, repository) in cases {
        let (status, told) = check(repository.path(), &[]);
        assert_eq!(status, 0, "{name}: {told}");
        // All of them lack tests, which is not what they are about.
        let about = told.lines().filter(|line| line.contains(": warning[") && !line.contains("[untested_formula]"));
        assert_ne!(about.count(), 0, "{name}: {told}");
        hold(&name, "warn", &told);
    }
}

#[test]
fn annotations_name_files_as_the_workspace_does() {
    let workspace = tempfile::tempdir().unwrap();
    let formulas = workspace.path().join("deploy/formulas");
    std::fs::create_dir_all(&formulas).unwrap();
    std::fs::write(formulas.join("shop.yaml"), "metrics: { v: s }\nformulas: { f: 'v / 100%, w' }\n").unwrap();
    let run = |here: &Path, directory: &str, workspace: Option<&Path>, format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"));
        command.args(["check", directory, "--format", format]).current_dir(here).env_remove("GITHUB_WORKSPACE");
        workspace.map(|workspace| command.env("GITHUB_WORKSPACE", workspace));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let file = "file=deploy/formulas/shop.yaml,line=2,col=25,title=expression_syntax::";
    let absolute = formulas.to_str().unwrap();
    let below = workspace.path().join("deploy");
    for told in [
        run(workspace.path(), "deploy/formulas", None, "github"),
        run(workspace.path(), "./deploy/formulas/", None, "github"),
        run(workspace.path(), absolute, None, "github"),
        run(&below, "formulas", Some(workspace.path()), "github"),
        run(&formulas, ".", Some(workspace.path()), "github"),
    ] {
        assert!(told.contains(file) && told.starts_with("::error "), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert!(run(&below, "formulas", None, "human").starts_with("formulas/shop.yaml:2:25: error["));
    let found: Value = serde_json::from_str(&run(&below, "formulas", None, "json")).unwrap();
    assert_eq!(found[0]["file"], "formulas/shop.yaml");
    let keys: Vec<&String> = found[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "column", "file", "hint", "line", "message", "related", "severity"]);
}

#[test]
fn test_files_that_are_broken_or_of_no_keyspace_are_told() {
    let repository = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(repository.path().join(file), text).unwrap();
    write("shop.yaml", "metrics: { v: s, w: s }\nformulas: { f: v + w, g: f }\n");
    let sound =
        "  - { name: a, request: { formulas: [g], from: 0, to: 60000, step: 1m }, expect: { g: { \"\": [0] } } }\n";
    for (text, place, told) in [
        ("tests: [\n", ":1:8: ", "error[invalid_test]"),
        ("test: []\n", ":1:1: ", "unknown field `test`"),
        ("series: [{ series: s, start: now, step: 1m, values: 1 }]\n", ":1:", "must be RFC 3339"),
        (
            &format!("tests:\n{sound}  - {{ request: {{ formulas: [f] }}, expect: {{}} }}\n"),
            ":3:5: ",
            "the test has no `name`",
        ),
        (
            "tests:\n  - { name: a, request: { formulas: [f] }, expect: {} }\n",
            ":2:",
            "a test that expects nothing cannot fail",
        ),
        (
            &format!("tests:\n{sound}  - {{ name: b, request: {{ formula: [f] }}, expect: {{}} }}\n"),
            ":3:",
            "request/formula",
        ),
        (&format!("tests:\n{sound}  - {{ name: b, requests: {{}} }}\n"), ":3:", "did you mean `request`?"),
    ] {
        write("shop.test.yaml", text);
        let (status, said) = check(repository.path(), &[]);
        assert_eq!(status, 1, "{text}: {said}");
        assert!(said.contains(&format!("shop.test.yaml{place}")) && said.contains(told), "{text}: {said}");
        assert!(said.contains("hint: ") && !said.contains("untested_formula"), "{text}: {said}");
    }
    write("shop.test.yaml", &format!("tests:\n{sound}"));
    let sound = "1 file(s), 1 sound keyspace(s), 0 error(s), 0 warning(s)\n";
    assert_eq!(check(repository.path(), &[]), (0, sound.to_owned()));
    write("shpo.test.yaml", "tests: []\n");
    let (status, said) = check(repository.path(), &[]);
    assert!(status == 1 && said.contains("shpo.test.yaml:1:1: error[orphan_test]"), "{said}");
    assert!(said.contains("did you mean `shop`?"), "{said}");
}

#[test]
fn what_is_no_regular_file_is_told_and_waited_for_by_nobody() {
    let repository = tempfile::tempdir().unwrap();
    let at = |name: &str| repository.path().join(name);
    std::fs::write(at("sound.yaml"), "metrics: { v: s }\nformulas: { f: v }\n").unwrap();
    // A pipe that nobody writes to would hold its reader for ever.
    assert!(Command::new("mkfifo").arg(at("pipe.yaml")).arg(at("pipe.test.yaml")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.yaml")).unwrap();
    std::os::unix::fs::symlink("loop.yaml", at("loop.yaml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zero.yaml")).unwrap();
    std::os::unix::fs::symlink(".", at("folder")).unwrap();
    std::fs::create_dir(at("directory.yaml")).unwrap();
    let (status, said) = check(repository.path(), &[]);
    assert_eq!(status, 1, "{said}");
    for name in ["pipe.yaml", "pipe.test.yaml", "socket.yaml", "loop.yaml", "zero.yaml", "directory.yaml"] {
        assert!(said.contains(&format!("{name}:1:1: error[unreadable_file]")), "{name}: {said}");
    }
    assert!(!said.contains(" sound.yaml:"), "{said}");
}

#[test]
fn a_directory_without_keyspaces_is_no_success() {
    let empty = tempfile::tempdir().unwrap();
    let (status, told) = check(empty.path(), &[]);
    assert_eq!(status, 2, "{told}");
    let (status, _) = check(empty.path(), &["--format", "xml"]);
    assert_eq!(status, 2);
}
