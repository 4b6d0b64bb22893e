//! What `deploy/` holds for repositories of keyspace files, run as it is: the hook by git, the workflow's commands by a shell.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::process::Place;
use crate::support::reload::{bad, git, good};

const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/pre-commit");
const WORKFLOW: &str = include_str!("../../deploy/github/formulas.yml");
const SYSTEM: &str = "/usr/bin:/bin";

/// The system's programs and the built one.
fn path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_tsdb-ws"));
    format!("{}:{SYSTEM}", program.parent().unwrap().display())
}

/// A repository with the hook in it, and one good commit.
fn repository() -> Place {
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("README.md", "one")]);
    git(place.path(), &["init", "--quiet"]);
    git(place.path(), &["add", "."]);
    git(place.path(), &["commit", "--quiet", "-m", "one"]);
    std::fs::copy(HOOK, place.path().join(".git/hooks/pre-commit")).unwrap();
    place
}

fn commit(place: &Place, path: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("/usr/bin/git");
    command.args(["-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", "change"]);
    told(command.args(arguments).current_dir(place.path()).env_clear().env("PATH", path).output().unwrap())
}

fn told(output: Output) -> (bool, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_hook_refuses_what_is_broken_and_looks_at_what_is_committed() {
    let place = repository();
    place.write("formulas/shop.yaml", bad(2));
    let (done, text) = commit(&place, &path(), &["-a"]);
    assert!(!done && text.contains("formulas/shop.yaml:3:6: error[unknown_name]"), "{text}");
    // Broken in the index, mended beside it.
    git(place.path(), &["add", "."]);
    place.write("formulas/shop.yaml", good(2));
    assert!(!commit(&place, &path(), &[]).0);
    // Good in the index, broken beside it; a file of the operator of this machine decides nothing.
    git(place.path(), &["add", "."]);
    place.write("formulas/shop.yaml", bad(3));
    place.write("tsdb-ws.yaml", "no: [such");
    let (done, text) = commit(&place, &path(), &[]);
    assert!(done, "{text}");
    // A test that fails.
    place.write("formulas/shop.yaml", good(3));
    let test = "series: [{ series: shop.visitors, start: 2026-01-05T00:00:00Z, step: 1m, values: \"1\" }]\ntests:\n  - name: sum\n    \
                request: { formulas: [a], from: 2026-01-05T00:00:00Z, to: 2026-01-05T00:01:00Z, step: 1m }\n    expect: { a: { \
                \"\": [WANTED] } }\n";
    place.write("formulas/shop.test.yaml", test.replace("WANTED", "5"));
    git(place.path(), &["add", "formulas"]);
    let (done, text) = commit(&place, &path(), &[]);
    assert!(!done && text.contains("sum"), "{text}");
    place.write("formulas/shop.test.yaml", test.replace("WANTED", "4"));
    git(place.path(), &["add", "formulas"]);
    let (done, text) = commit(&place, &path(), &[]);
    assert!(done, "{text}");
    // Without the program nothing is let through, but for what is none of its business.
    place.write("README.md", "two");
    git(place.path(), &["add", "README.md"]);
    assert!(commit(&place, SYSTEM, &[]).0);
    place.write("formulas/shop.yaml", good(4));
    git(place.path(), &["add", "formulas"]);
    let (done, text) = commit(&place, SYSTEM, &[]);
    assert!(!done && text.contains("there is no tsdb-ws on the path"), "{text}");
}

#[test]
fn the_workflows_commands_do_what_they_are_for() {
    let workflow: Value = serde_yaml::from_str(WORKFLOW).unwrap();
    let job = &workflow["jobs"]["check"];
    let steps: Vec<&Value> = job["steps"].as_array().unwrap().iter().filter(|step| step["run"].is_string()).collect();
    assert_eq!(steps.len(), 3, "{workflow:#}");
    let run = |place: &Place, step: &Value| {
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", step["run"].as_str().unwrap()]).current_dir(place.path()).env_clear();
        for (name, value) in job["env"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        command.env("PATH", path()).env("GITHUB_WORKSPACE", place.path()).env("GITHUB_BASE_REF", "main");
        told(command.env("TSDB_WS_KAIROSDB_URL", "http://127.0.0.1:9").output().unwrap())
    };
    let place = repository();
    git(place.path(), &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let [check, live, test] = steps[..] else { panic!("three steps") };
    assert!(run(&place, check).0 && run(&place, test).0);
    let (done, text) = run(&place, live);
    assert!(!done && text.contains("cannot see what kairosdb holds"), "{text}");
    place.write("formulas/shop.yaml", bad(2));
    let (done, text) = run(&place, check);
    assert!(!done && text.starts_with("::error file=formulas/shop.yaml,line=3,col=6,"), "{text}");
}
