use std::fs;

use super::*;

const GOOD: &str = "metrics: { visitors: shop.visitors }\nformulas: { total: visitors }\n";
const BAD: &str = "metrics: { visitors: shop.visitors }\nformulas: { total: visitor }\n";

struct Setup {
    directory: tempfile::TempDir,
    published: Published,
    reloader: Reloader,
}

impl Setup {
    fn new(files: &[(&str, &str)]) -> Setup {
        let setup = Setup {
            directory: tempfile::tempdir().unwrap(),
            published: Published::default(),
            reloader: Reloader::default(),
        };
        files.iter().for_each(|(path, text)| setup.write(path, text));
        setup
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.directory.path().join(path), text).unwrap();
    }

    fn reload(&self, now: i64) -> Result<Reloaded, ReloadError> {
        let source = Source::Directory(self.directory.path().to_owned());
        self.reloader.reload(&source, &self.published, now)
    }

    fn served(&self) -> Vec<String> {
        self.published.snapshot().keyspaces.keys().cloned().collect()
    }
}

#[test]
fn a_bad_file_never_takes_away_what_worked() {
    let setup = Setup::new(&[("shop.yaml", GOOD), ("other.yaml", GOOD)]);
    let first = setup.reload(1).unwrap();
    assert_eq!((first.keyspaces, first.broken.len()), (2, 0));
    let good = setup.reloader.status().keyspaces["shop"].revision.clone();
    setup.write("shop.yaml", BAD);
    let second = setup.reload(2).unwrap();
    assert_eq!(second.broken, ["shop"]);
    assert_eq!(setup.served(), ["other", "shop"]);
    let status = setup.reloader.status();
    let shop = &status.keyspaces["shop"];
    assert_eq!((shop.state, shop.since), (KeyspaceState::LastGood, 2));
    assert_eq!(shop.revision, good, "the revision of what is served");
    assert!(!shop.diagnostics.is_empty());
    setup.write("shop.yaml", GOOD);
    assert!(setup.reload(3).unwrap().broken.is_empty());
    assert_eq!(setup.reloader.status().keyspaces["shop"].state, KeyspaceState::Serving);
}

#[test]
fn a_deleted_keyspace_is_gone() {
    let setup = Setup::new(&[("shop.yaml", GOOD), ("other.yaml", GOOD)]);
    setup.reload(1).unwrap();
    fs::remove_file(setup.directory.path().join("shop.yaml")).unwrap();
    setup.reload(2).unwrap();
    assert_eq!(setup.served(), ["other"]);
}

#[test]
fn a_repository_that_vanishes_or_turns_empty_changes_nothing() {
    let setup = Setup::new(&[("shop.yaml", GOOD)]);
    let first = setup.reload(1).unwrap();
    fs::remove_file(setup.directory.path().join("shop.yaml")).unwrap();
    assert!(matches!(setup.reload(2), Err(ReloadError::Empty(_))));
    fs::remove_dir(setup.directory.path()).unwrap();
    assert!(matches!(setup.reload(3), Err(ReloadError::Repository(_))));
    assert_eq!(setup.served(), ["shop"]);
    let status = setup.reloader.status();
    assert_eq!((status.revision, status.published_at, status.tried_at), (first.revision, Some(1), Some(3)));
    assert!(status.error.is_some());
}

#[test]
fn a_start_without_one_good_keyspace_is_an_error() {
    let setup = Setup::new(&[("shop.yaml", BAD)]);
    let error = setup.reload(1).unwrap_err();
    assert!(matches!(error, ReloadError::AllBroken(_)));
    assert!(error.to_string().contains("\n  shop.yaml:2:"), "{error}");
    setup.write("other.yaml", GOOD);
    assert_eq!(setup.reload(2).unwrap().broken, ["shop"]);
    assert_eq!(setup.reloader.status().keyspaces["shop"].state, KeyspaceState::Broken);
}

#[test]
fn files_and_the_keyspaces_they_are_part_of() {
    let cases = [
        ("shop.yaml", Some("shop")),
        ("shop/funnel.yaml", Some("shop")),
        ("shop/_common.yaml", None),
        ("_common.yaml", None),
        ("shop.test.yaml", None),
        ("shop/funnel.test.yaml", None),
        ("README.md", None),
    ];
    for (path, keyspace) in cases {
        assert_eq!(keyspace_of(path), keyspace, "{path}");
    }
}
