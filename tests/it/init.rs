//! `init` as it is run: what it writes passes `check` and answers `query`.

use std::path::Path;
use std::process::{Command, Output};

use tsdb_ws::backend::Backend;
use tsdb_ws::backend::embedded::EmbeddedStore;

use crate::support::point;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tsdb-ws")).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_first_keyspace_passes_its_check_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("tsdb-ws.db")).unwrap();
    let points = [
        point("shop.visitors", "variation=control,experiment=e1", 60_000, 4.0),
        point("shop.visitors", "variation=treatment,experiment=e1", 60_000, 5.0),
        point("shop.load-time", "", 60_000, 0.5),
        point("other", "", 60_000, 1.0),
    ];
    store.write(&points).await.unwrap();
    let at = |arguments: &[&str]| run(folder.path(), arguments);
    let none = at(&["init", "shop", "--series", "nothing.*"]);
    assert_eq!(none.status.code(), Some(2), "{}", out(&none));
    let made = at(&["init", "shop", "--series", "shop.*"]);
    assert_eq!(made.status.code(), Some(0), "{}", out(&made));
    let again = at(&["init", "shop", "--series", "shop.*"]);
    assert_eq!(again.status.code(), Some(2), "it never overwrites: {}", out(&again));
    let checked = at(&["check", "formulas"]);
    assert_eq!(checked.status.code(), Some(0), "{}", out(&checked));
    // That it has no tests yet is all that there is to say.
    assert!(out(&checked).contains("0 error(s), 1 warning(s)"), "{}", out(&checked));
    assert!(out(&checked).contains("warning[untested_formula]"), "{}", out(&checked));
    let range = ["--from", "0", "--to", "120000", "--step", "1m", "--format", "csv"];
    let query = ["query", "shop", "visitors_over_time", "load_time_over_time", "--param", "experiment=e1"];
    let answered = at(&[&query[..], &range].concat());
    assert_eq!(answered.status.code(), Some(0), "{}", out(&answered));
    for line in
        ["visitors_over_time,60000,5,treatment", "visitors_over_time,60000,4,control", "load_time_over_time,60000,0.5,"]
    {
        assert!(out(&answered).contains(line), "{line} is not in\n{}", out(&answered));
    }
}
