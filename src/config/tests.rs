use std::io::Write;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_text(text: &str) -> Result<Config, String> {
    let file = file(text);
    let path = file.path().to_str().unwrap().to_owned();
    let flags = Flags { config: Some(path.clone()), ..Flags::default() };
    load(&flags, &no_env).map_err(|error| error.to_string().replace(&path, "FILE"))
}

#[test]
fn nothing_set_is_the_demo() {
    let config = load(&Flags::default(), &no_env).unwrap();
    assert!(config.demo);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8090");
    assert_eq!(config.limits, Limits::default());
    let config = load(&Flags { listen: Some("127.0.0.1:0".to_owned()), ..Flags::default() }, &no_env).unwrap();
    assert!(config.demo, "an address does not say what to serve");
    let config = load(&Flags { store: Some("x.db".to_owned()), ..Flags::default() }, &no_env).unwrap();
    assert!(!config.demo);
}

#[test]
fn flag_over_variable_over_file() {
    let file = file("listen: 127.0.0.1:1\nformulas: from-file\nbackends: { embedded: { store: file.db } }\n");
    let env = |name: &str| match name {
        "TSDB_WS_CONFIG" => Some(file.path().to_str().unwrap().to_owned()),
        "TSDB_WS_LISTEN" => Some("127.0.0.1:2".to_owned()),
        "TSDB_WS_FORMULAS" => Some("from-variable".to_owned()),
        "TSDB_WS_LIMITS_FORMULAS" => Some("7".to_owned()),
        "TSDB_WS_STORE" => Some(String::new()),
        _ => None,
    };
    let config = load(&Flags { listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() }, &env).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.formulas.to_string(), "from-variable");
    assert_eq!(config.store, PathBuf::from("file.db"), "an empty variable is not set");
    assert_eq!(config.limits.formulas, 7);
    assert!(!config.demo);
}

#[test]
fn the_whole_file_is_read() {
    let config = load_text(
        "listen: 0.0.0.0:9000
admin_listen: localhost:9001
formulas: keyspaces
backend: kairosdb
backends:
  embedded: { store: a.db }
  kairosdb: { url: \"http://db.internal:8080/\", retention: 2d }
  m3db: { url: \"http://127.0.0.1:7201\", names: legacy }
  elasticsearch: { url: \"http://127.0.0.1:9200\", index: tsdb-ws, password_file: /run/secrets/es }
limits: { body: 2MiB, formulas: 20, series: 100, answer_points: 2_000_000, range: 30d, deadline: 500ms, shadow_deadline: 2s }
keyspaces:
  storefront:
    backend: embedded
    shadow: kairosdb
    allow: [\"expo.*\"]
    limits: { queries_per_second: 50, concurrency: 4, series: 10 }
cors: { origins: [\"https://experiments.example.com\"] }
",
    )
    .unwrap();
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9001");
    assert_eq!(config.kairosdb_url, "http://db.internal:8080");
    assert_eq!(config.retention[&BackendName::Kairosdb].to_string(), "2d");
    assert_eq!((config.limits.body, config.limits.answer_points), (2 << 20, 2_000_000));
    assert_eq!(config.limits.deadline, Duration::from_millis(500));
    let keyspace = &config.keyspaces["storefront"];
    assert_eq!(keyspace.allow.as_deref(), Some(&["expo.*".to_owned()][..]));
    assert_eq!((keyspace.queries_per_second, keyspace.concurrency), (Some(50), Some(4)));
    let limits = keyspace.limits.as_ref().unwrap();
    assert_eq!((limits.series, limits.formulas), (10, 20), "the service's where the keyspace sets none");
    assert_eq!(config.backends_used(), [BackendName::Embedded, BackendName::Kairosdb]);
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.shadow_of("storefront"), Some(BackendName::Kairosdb));
    assert_eq!(config.shadow_of("other"), None);
    assert_eq!(config.shadow_limits.deadline, Duration::from_secs(2));
    assert_eq!(config.cors_origins, ["https://experiments.example.com"]);
}

#[test]
fn keyspaces_can_come_from_a_variable() {
    let env = |name: &str| {
        (name == "TSDB_WS_KEYSPACES").then(|| "{ shop: { limits: { queries_per_second: 5 } } }".to_owned())
    };
    let config = load(&Flags::default(), &env).unwrap();
    assert_eq!(config.keyspaces["shop"].queries_per_second, Some(5));
    assert_eq!(config.keyspaces["shop"].limits, None);
}

#[test]
fn empty_files_are_sound() {
    for text in ["", "# nothing\n", "\u{feff}\n"] {
        assert!(load_text(text).is_ok(), "{text:?}");
    }
}

#[test]
fn every_bad_value_is_named_with_its_place() {
    let cases = std::fs::read_to_string("tests/testdata/config/bad.txt").unwrap();
    let mut said = String::new();
    for case in cases.split_inclusive("\n---\n") {
        let text = case.trim_end_matches("---\n");
        let faults = load_text(text).map(|_| ()).expect_err(text);
        said.push_str(&format!("{text}=> {}\n\n", faults.replace('\n', "\n   ")));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn all_faults_are_gathered() {
    let faults = load_text("listen: here\nbackend: oracle\nlimits: { formulas: 0, body: 1XB }\n").unwrap_err();
    assert_eq!(faults.lines().count(), 4, "{faults}");
}

#[test]
fn a_password_is_refused_and_not_repeated() {
    let flags = Flags { kairosdb_url: Some("http://user:hunter2@host:8080".to_owned()), ..Flags::default() };
    let fault = load(&flags, &no_env).unwrap_err().to_string();
    assert!(fault.starts_with("--kairosdb-url: ") && fault.contains("password_file"), "{fault}");
    assert!(!fault.contains("hunter2"));
}

#[test]
fn hostile_files_are_faults() {
    let long = "[".repeat(200_000);
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b]\n";
    let huge = format!("listen: \"{}\"", "x".repeat(2 << 20));
    for text in [long.as_str(), bomb, &huge, "listen: \"\0\"", "- a\n- b\n", "listen: [1]", "a: 1\na: 2\n"] {
        assert!(load_text(text).is_err(), "{:.40}", text);
    }
}

#[test]
fn a_named_file_must_exist() {
    let flags = Flags { config: Some("no/such/file.yaml".to_owned()), ..Flags::default() };
    let fault = load(&flags, &no_env).unwrap_err().to_string();
    assert!(fault.starts_with("no/such/file.yaml: cannot read the operator's file"), "{fault}");
}

#[test]
fn a_shadow_that_is_the_backend_itself_is_told_and_not_read() {
    let config = load_text("backend: kairosdb\nshadow: kairosdb\nkeyspaces: { shop: { backend: m3db } }\n").unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert_eq!((config.shadow_of("any"), config.shadow_of("shop")), (None, Some(BackendName::Kairosdb)));
}

#[test]
fn every_flag_is_a_variable_too() {
    use clap::{Args, Command};

    let default = format!("{:?}", Config::default());
    let command = Flags::augment_args(Command::new("tsdb-ws"));
    let names: Vec<String> = command.get_arguments().map(|flag| flag.get_id().to_string()).collect();
    assert!(names.len() > 30);
    for name in names.iter().filter(|name| *name != "config") {
        let value = match name.rsplit('_').next().unwrap_or_default() {
            "url" | "origins" => "http://db.internal:1234",
            "listen" => "127.0.0.1:1234",
            "retention" | "range" => "3d",
            "deadline" | "idle" | "resync" | "poll" | "grace" => "7s",
            "backend" | "shadow" => "kairosdb",
            "names" => "legacy",
            "keyspaces" => "{ shop: { backend: kairosdb } }",
            _ => "37",
        };
        let variable = format!("TSDB_WS_{}", name.to_uppercase());
        let config = load(&Flags::default(), &|asked| (asked == variable).then(|| value.to_owned())).unwrap();
        assert_ne!(format!("{config:?}").replace("demo: true", "demo: false"), default, "{variable}");
    }
}
