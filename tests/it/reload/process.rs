//! The real program over a real repository: what the kernel loses, what vanishes, what a reload may not take away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::process::{Place, Server, request, send};
use crate::support::reload::{bad, git, good};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, server: &Server, is_so: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let status = server.admin("GET", "/status").json();
        if is_so(&status) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} does not come to be: {status:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The expression of `a`, as a request that fails nothing is answered.
fn served(server: &Server, keyspace: &str) -> Option<String> {
    let answer = server.get(&format!("/{keyspace}/query?formula=a"));
    (answer.status == 200).then(|| answer.json()["results"][0]["expr"].as_str().unwrap().to_owned())
}

fn until_served(server: &Server, keyspace: &str, version: usize) {
    let wanted = Some(format!("visitors + {version}"));
    until(&format!("version {version} of {keyspace}"), server, |_| served(server, keyspace) == wanted);
}

fn metric(server: &Server, line: &str) -> f64 {
    let text = server.admin("GET", "/metrics").text();
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or(0.0)
}

const LOST: &str = "tsdb_ws_repository_events_total{kind=\"lost\"}";

#[test]
fn when_the_kernels_queue_overflows_everything_is_listed_and_the_metrics_say_so() {
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("formulas/other.yaml", &good(1))]);
    // Without a listing by the clock, only what is done about the overflow can find the change.
    let hidden = [".a", ".b"].map(|name| place.path().join("formulas").join(name));
    hidden.iter().for_each(|path| fs::write(path, "").unwrap());
    let server = place.serve(&["--formulas", "formulas", "--repository-resync", "1h"]);
    place.write("formulas/shop.yaml", good(2));
    until_served(&server, "shop", 2);
    // The process reads no events while it is stopped; the kernel keeps so many and drops the rest.
    let kept: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    server.signal("STOP");
    for _ in 0..kept / 4 + 1_000 {
        // Opened, written and closed, each in turn: no event is like the one before it. Nobody is told of hidden files.
        hidden.iter().for_each(|path| fs::write(path, "x").unwrap());
    }
    place.write("formulas/shop.yaml", good(3));
    place.write("formulas/other.yaml", bad(3));
    place.write("formulas/new.yaml", good(3));
    server.signal("CONT");
    until_served(&server, "shop", 3);
    until_served(&server, "new", 3);
    until("the error", &server, |status| status["keyspaces"]["other"]["state"] == "last_good");
    assert_eq!(served(&server, "other").as_deref(), Some("visitors + 1"));
    assert!(metric(&server, LOST) >= 1.0);
    assert!(metric(&server, "tsdb_ws_repository_missed_total ") >= 3.0, "what no event told of is counted");
    // Events are heard again.
    let missed = metric(&server, "tsdb_ws_repository_missed_total ");
    place.write("formulas/other.yaml", good(4));
    until_served(&server, "other", 4);
    assert_eq!(metric(&server, "tsdb_ws_repository_missed_total "), missed);
}

/// The command of a place in a user namespace of its own, with limits of its own on what the kernel watches for it.
fn limited(place: &Place, limits: &str, arguments: &[&str]) -> Command {
    let program = place.command(arguments);
    let mut command = Command::new("unshare");
    let script = format!("{limits}\nexec \"$0\" \"$@\"");
    command.args(["--user", "--map-root-user", "sh", "-ec", &script]).arg(program.get_program());
    command.args(program.get_args()).current_dir(place.path()).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}

/// Files are compared instead, and events come back by themselves.
fn at_a_limit(limit: &str) {
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("formulas/folder/a.yaml", &good(1))]);
    // Once a file is there, the limit is lifted: from inside, where alone it can be.
    let lift = limit.replace("echo 0", "echo 100").replace("echo 1 ", "echo 100 ");
    let limits = format!("{limit}\n(until test -e lift; do sleep 0.1; done; {lift}; touch lifted) >/dev/null 2>&1 &");
    let arguments = ["--formulas", "formulas", "--repository-resync", "1h"];
    let server = place.serve_as(|arguments| limited(&place, &limits, arguments), &arguments);
    until("the loss", &server, |_| metric(&server, LOST) >= 1.0);
    for (path, keyspace) in [("formulas/shop.yaml", "shop"), ("formulas/folder/a.yaml", "folder")] {
        place.write(path, good(2));
        until_served(&server, keyspace, 2);
        place.write(path, bad(3));
        until("the error", &server, |status| status["keyspaces"][keyspace]["state"] == "last_good");
        place.write(path, good(4));
        until_served(&server, keyspace, 4);
    }
    let log: Vec<String> = server.log.try_iter().filter(|line| line.contains("the kernel gives no events")).collect();
    assert_eq!(log.len(), 1, "{limit}: {log:#?}");
    place.write("lift", "");
    server.wait_for_log("the kernel gives events again");
    assert!(place.path().join("lifted").exists());
    place.write("formulas/folder/a.yaml", good(5));
    until_served(&server, "folder", 5);
}

#[test]
fn without_a_watcher_files_are_compared() {
    at_a_limit("echo 0 > /proc/sys/user/max_inotify_instances");
}

#[test]
fn without_a_watch_for_a_folder_files_are_compared() {
    at_a_limit("echo 1 > /proc/sys/user/max_inotify_watches");
}

#[test]
fn a_directory_that_vanishes_empties_cannot_be_read_or_fills_up_takes_nothing_away() {
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("formulas/other/a.yaml", &good(1))]);
    let server = place.serve(&[
        "--formulas",
        "formulas",
        "--repository-resync",
        "500ms",
        "--repository-grace",
        "200ms",
        "--repository-files",
        "2000",
    ]);
    let (formulas, away) = (place.path().join("formulas"), place.path().join("away"));
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let mut version = 1;
    for harm in ["vanishes", "turns empty", "cannot be read", "holds too many files", "is a file"] {
        match harm {
            "vanishes" => fs::rename(&formulas, &away).unwrap(),
            "turns empty" => {
                fs::rename(&formulas, &away).unwrap();
                fs::create_dir(&formulas).unwrap();
            }
            // Root reads everything, so that a link that leads round in a circle stands for it.
            "cannot be read" if is_root => {
                fs::rename(&formulas, &away).unwrap();
                std::os::unix::fs::symlink("formulas", &formulas).unwrap();
            }
            "cannot be read" => fs::set_permissions(&formulas, fs::Permissions::from_mode(0o000)).unwrap(),
            "holds too many files" => {
                fs::create_dir(formulas.join("many")).unwrap();
                (0..2_000).for_each(|i| fs::write(formulas.join(format!("many/f{i}.yaml")), "").unwrap());
            }
            _ => {
                fs::rename(&formulas, &away).unwrap();
                fs::write(&formulas, "").unwrap();
            }
        }
        until(harm, &server, |status| status["error"].is_string());
        assert_eq!(server.admin("POST", "/reload").status, 422, "{harm}");
        // Longer than the grace time and some listings.
        std::thread::sleep(Duration::from_millis(1_000));
        for keyspace in ["shop", "other"] {
            assert_eq!(served(&server, keyspace), Some(format!("visitors + {version}")), "{harm}");
        }
        assert_eq!(metric(&server, "tsdb_ws_repository_healthy "), 0.0, "{harm}");
        assert_eq!(server.get("/readyz").status, 200, "{harm}");
        match harm {
            "vanishes" => fs::rename(&away, &formulas).unwrap(),
            "turns empty" => {
                fs::remove_dir(&formulas).unwrap();
                fs::rename(&away, &formulas).unwrap();
            }
            "cannot be read" if !is_root => {
                fs::set_permissions(&formulas, fs::Permissions::from_mode(0o755)).unwrap();
            }
            "holds too many files" => fs::remove_dir_all(formulas.join("many")).unwrap(),
            _ => {
                fs::remove_file(&formulas).unwrap();
                fs::rename(&away, &formulas).unwrap();
            }
        }
        until("recovery", &server, |status| status["error"].is_null());
        version += 1;
        place.write("formulas/shop.yaml", good(version));
        place.write("formulas/other/a.yaml", good(version));
        until_served(&server, "shop", version);
        until_served(&server, "other", version);
        assert_eq!(metric(&server, "tsdb_ws_repository_healthy "), 1.0, "{harm}");
    }
}

fn leftovers(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("tsdb-ws-git")).collect()
}

#[test]
fn what_git_fetched_is_gone_when_the_service_has_ended() {
    let place = Place::with(&[("work/shop.yaml", &good(1)), ("tmp/.keep", "")]);
    git(&place.path().join("work"), &["init", "--quiet"]);
    git(&place.path().join("work"), &["add", "."]);
    git(&place.path().join("work"), &["commit", "--quiet", "-m", "one"]);
    let formulas = format!("git+file://{}", place.path().join("work").display());
    let tmp = place.path().join("tmp");
    let command = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("TMPDIR", &tmp).env("PATH", "/usr/bin:/bin");
        command
    };
    for signal in ["TERM", "INT"] {
        let mut server = place.serve_as(command, &["--formulas", &formulas, "--repository-poll", "1s"]);
        assert_eq!(served(&server, "shop").as_deref(), Some("visitors + 1"));
        assert_eq!(leftovers(&tmp).len(), 1);
        server.signal(signal);
        assert_eq!(server.status(), 0);
        assert_eq!(leftovers(&tmp), [""; 0], "{signal}");
    }
    // Neither is it left by a start that fails, nor by a reload that turns to another repository.
    let nothing = format!("{formulas}#:nowhere");
    let failed = command(&["serve", "--formulas", &nothing]).output().unwrap();
    assert_eq!((failed.status.code(), leftovers(&tmp)), (Some(2), Vec::new()));
    place.write("tsdb-ws.yaml", format!("formulas: \"{formulas}\"\n"));
    let server = place.serve_as(command, &[]);
    place.write("tsdb-ws.yaml", "formulas: work\n");
    assert_eq!(server.admin("POST", "/reload").status, 200);
    until("the end of the clone", &server, |_| leftovers(&tmp).is_empty());
    assert_eq!(served(&server, "shop").as_deref(), Some("visitors + 1"));
}

#[test]
fn no_request_sees_the_files_of_one_reload_with_the_configuration_of_another() {
    let place = Place::with(&[]);
    let work = place.path().join("work");
    // What each version reads is what its configuration allows, and nothing else.
    let version = |version: usize| {
        place.write(
            "work/shop.yaml",
            format!("metrics: {{ v: v{version}.visitors }}\nformulas: {{ a: v + {version} }}\n"),
        );
        let formulas = format!("git+file://{}", work.display());
        place.write(
            "tsdb-ws.yaml",
            format!(
                "formulas: \"{formulas}\"\nrepository: {{ poll: 1h }}\nkeyspaces: {{ shop: {{ allow: [\"v{version}.*\"] }} }}\n"
            ),
        );
        git(&work, &["add", "."]);
        git(&work, &["commit", "--quiet", "-m", "change"]);
    };
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet"]);
    version(0);
    let server = place.serve_as(
        |arguments| {
            let mut command = place.command(arguments);
            command.env("PATH", "/usr/bin:/bin");
            command
        },
        &[],
    );
    let (address, stop) = (server.address, std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = send(address, &request("GET", "/shop/query?formula=a", &[], "")).json();
                        assert_eq!(answer["results"][0]["error"], Value::Null, "{answer:#}");
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        for number in 1..=20 {
            version(number);
            let reloaded = server.admin("POST", "/reload");
            assert_eq!(reloaded.status, 200, "{}", reloaded.text());
            assert_eq!(served(&server, "shop"), Some(format!("v + {number}")));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        callers.into_iter().for_each(|caller| assert!(caller.join().unwrap() > 0));
    });
}

#[test]
fn a_reload_tells_what_has_no_effect_and_refuses_an_empty_store() {
    let config = |more: &str| format!("formulas: formulas\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n{more}");
    let more = "backends: { embedded: { store: s.db } }\nkeyspaces: { shopp: { allow: [\"a.*\"] } }\n";
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("tsdb-ws.yaml", &config(more))]);
    let server = place.serve_as(|arguments| place.command(&arguments[4..]), &[]);
    let told = |value: &Value| {
        value
            .as_array()
            .cloned()
            .unwrap_or_default()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let unknown = "the entry `shopp` of `keyspaces` is of no keyspace that there is; did you mean `shop`?".to_owned();
    assert_eq!(told(&server.admin("GET", "/status").json()["configuration"]), std::slice::from_ref(&unknown));
    server.wait_for_log("the entry `shopp`");
    // An address is bound once.
    place.write("tsdb-ws.yaml", config(more).replace("\nlisten: 127.0.0.1:0", "\nlisten: 127.0.0.1:8095"));
    for _ in 0..2 {
        let reloaded = server.admin("POST", "/reload").json();
        let moved = "`listen` is 127.0.0.1:8095 from the next start on; until then it is 127.0.0.1:0".to_owned();
        assert_eq!(told(&reloaded["warnings"]), [moved.clone(), unknown.clone()], "{reloaded:#}");
        assert_eq!(told(&server.admin("GET", "/status").json()["configuration"]), [moved, unknown.clone()]);
    }
    place.write("tsdb-ws.yaml", config("backends: { embedded: { store: typo.db } }\n"));
    let refused = server.admin("POST", "/reload");
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("there is no store typo.db, and a reload makes none"), "{}", refused.text());
    assert!(!place.path().join("typo.db").exists());
    // What comes later is known then.
    place.write("tsdb-ws.yaml", config("backends: { embedded: { store: s.db } }\nkeyspaces: { later: {} }\n"));
    assert_eq!(told(&server.admin("POST", "/reload").json()["warnings"]).len(), 1);
    place.write("formulas/later.yaml", good(1));
    until("no warning", &server, |status| status["configuration"] == serde_json::json!([]));
}

#[test]
fn a_file_that_ends_in_yml_is_told_of() {
    let place = Place::with(&[("formulas/shop.yaml", &good(1)), ("formulas/other/a.yml", &good(1))]);
    let server = place.serve(&["--formulas", "formulas"]);
    let misnamed = |status: &Value| {
        let found = status["diagnostics"].as_array().unwrap().iter().filter(|found| found["code"] == "misnamed_file");
        found.map(|found| found["file"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(misnamed(&server.admin("GET", "/status").json()), ["other/a.yml"]);
    place.write("formulas/more.yml", good(1));
    until("the second", &server, |status| misnamed(status) == ["more.yml", "other/a.yml"]);
    fs::rename(place.path().join("formulas/more.yml"), place.path().join("formulas/more.yaml")).unwrap();
    until_served(&server, "more", 1);
    until("its end", &server, |status| misnamed(status) == ["other/a.yml"]);
    let told = place.run(&["check", "formulas"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("formulas/other/a.yml:1:1: warning[misnamed_file]: `other/a.yml` is not read"), "{text}");
    assert!(text.contains("hint: rename it to other/a.yaml"), "{text}");
    assert_eq!(told.status.code(), Some(0));
    let alone = Place::with(&[("formulas/shop.yml", &good(1))]);
    let told = alone.run(&["check", "formulas"]);
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.code() == Some(2) && text.contains("rename it to shop.yaml"), "{text}");
}
