//! The switch and the comparison as an operator does them: the program, its file, signals, the real databases.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{address, unique};

const BACKENDS: [&str; 5] = ["embedded", "kairosdb", "m3db", "elasticsearch", "prometheus"];
/// How long backends are flipped, fifty requests and once a second.
const SECONDS: u64 = 60;
const MINUTES: usize = 120;
const FROM: i64 = 1_767_571_200_000;

/// A working directory with a keyspace, and the program in it.
struct World {
    folder: tempfile::TempDir,
    prefix: String,
}

impl World {
    fn new() -> World {
        let world = World { folder: tempfile::tempdir().unwrap(), prefix: unique() };
        let keyspace = format!(
            "defaults: {{ group_by: [g] }}\n\
             metrics:\n  a: {0}.a\n  b: {0}.b\n  level: {{ series: {0}.level, kind: gauge, aggregate: avg }}\n\
             formulas:\n  one: a\n  both: a + b\n  height: level\n",
            world.prefix
        );
        std::fs::create_dir(world.path("formulas")).unwrap();
        std::fs::write(world.path("formulas/shop.yaml"), keyspace).unwrap();
        world.configure("embedded");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, backend: &str) {
        let servers = BACKENDS[1..].iter().map(|name| format!(", {name}: {{ url: \"{}\" }}", address(name)));
        let text = format!(
            "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nformulas: formulas\nbackend: {backend}\n\
             backends: {{ embedded: {{ store: store.db }}{} }}\n",
            servers.collect::<String>()
        );
        std::fs::write(self.path("tsdb-ws.yaml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tsdb-ws"));
        command.current_dir(self.folder.path()).env_remove("TSDB_WS_BACKEND");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Loads lines `name,minute,value,g` into a backend.
    fn load(&self, backend: &str, lines: impl IntoIterator<Item = (&'static str, usize, f64, &'static str)>) {
        let line = |(name, minute, value, g): (&str, usize, f64, &str)| {
            format!("{}.{name},{},{value},{g}\n", self.prefix, FROM + minute as i64 * 60_000)
        };
        let csv: String = lines.into_iter().map(line).collect();
        let file = self.path("points.csv");
        std::fs::write(&file, format!("series,timestamp,value,g\n{csv}")).unwrap();
        let loaded = self.run(&["load", "--backend", backend, file.to_str().unwrap()]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    fn compare(&self) -> (Option<i32>, String) {
        let (from, to) = (FROM.to_string(), (FROM + MINUTES as i64 * 60_000).to_string());
        let report = self.path("report.html");
        let arguments = ["compare", "--left", "embedded", "--right", "kairosdb", "--step", "1m"];
        let range = ["--from", &from, "--to", &to, "--report", report.to_str().unwrap()];
        let compared = self.run(&[&arguments[..], &range[..]].concat());
        let text =
            format!("{}{}", String::from_utf8_lossy(&compared.stdout), String::from_utf8_lossy(&compared.stderr));
        (compared.status.code(), text)
    }
}

fn all(value: f64) -> impl Iterator<Item = (&'static str, usize, f64, &'static str)> {
    let minute = move |minute| {
        ["a", "b", "level"].into_iter().flat_map(move |name| ["x", "y"].map(|g| (name, minute, value, g)))
    };
    (0..MINUTES).flat_map(minute)
}

/// The service as a process, ended with the test.
struct Serving {
    process: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Serving {
    fn start(world: &World) -> Serving {
        let mut process = world.command().arg("serve").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut greeting = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut greeting).unwrap();
        let mut addresses = greeting.split("http://").skip(1).map(|rest| {
            let end = rest.find(|letter: char| letter != '.' && letter != ':' && !letter.is_ascii_digit()).unwrap();
            rest[..end].parse().unwrap()
        });
        let (address, admin) = (addresses.next().unwrap(), addresses.next().unwrap());
        Serving { process, address, admin }
    }

    fn signal(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn send(address: SocketAddr, request: String) -> (String, Value) {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// All points that a backend holds here.
fn value_in(backend: &str) -> f64 {
    BACKENDS.iter().position(|name| *name == backend).unwrap() as f64 + 1.0
}

fn check_unmixed((status, answer): &(String, Value)) -> String {
    assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    let backend = answer["backend"].as_str().unwrap();
    let value = value_in(backend);
    for (result, times) in answer["results"].as_array().unwrap().iter().zip([1.0, 2.0, 1.0]) {
        assert_eq!(result["series"].as_array().unwrap().len(), 2, "{result}");
        for series in result["series"].as_array().unwrap() {
            let values = series["values"].as_array().unwrap();
            assert!(values.iter().all(|found| *found == value * times), "{backend}: {values:?}");
        }
    }
    backend.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_a_second_and_a_flip_each_second_fail_and_mix_nothing() {
    let world = World::new();
    BACKENDS.iter().for_each(|backend| world.load(backend, all(value_in(backend))));
    let serving = Serving::start(&world);
    let range = format!("from={FROM}&to={}&step=1m", FROM + MINUTES as i64 * 60_000);
    let request = format!("GET /shop/query?formula=one&formula=both&formula=height&{range}");
    let begun = Instant::now();
    let mut requests = Vec::new();
    for tick in 0..SECONDS * 50 {
        if tick % 50 == 25 {
            let flip = tick as usize / 50;
            world.configure(BACKENDS[(flip + 1) % BACKENDS.len()]);
            match flip % 3 {
                0 => serving.signal(),
                _ => {
                    let (status, problem) = send(serving.admin, "POST /reload".to_owned()).await;
                    assert_eq!(status, "HTTP/1.1 200 OK", "{problem}");
                }
            }
        }
        requests.push(tokio::spawn(send(serving.address, request.clone())));
        tokio::time::sleep_until((begun + Duration::from_millis(20 * (tick + 1))).into()).await;
    }
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    for request in requests {
        *answered.entry(check_unmixed(&request.await.unwrap())).or_default() += 1;
    }
    println!("{answered:?} in {:?}", begun.elapsed());
    assert!(answered.len() == BACKENDS.len() && answered.values().all(|count| *count >= SECONDS * 5), "{answered:?}");
    // A slip takes nothing away.
    world.configure("embedded");
    assert_eq!(send(serving.admin, "POST /reload".to_owned()).await.0, "HTTP/1.1 200 OK");
    let file = world.path("tsdb-ws.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("backend: embedded", "backend: m3db");
    let slip = text.replace(&address("m3db"), "http://127.0.0.1:1") + "limits: { formulas: 50 }\n";
    std::fs::write(&file, slip).unwrap();
    let (status, problem) = send(serving.admin, "POST /reload".to_owned()).await;
    assert_ne!(status, "HTTP/1.1 200 OK");
    assert!(problem["detail"].as_str().unwrap().contains("the service would move from embedded"), "{problem}");
    assert_eq!(check_unmixed(&send(serving.address, request).await), "embedded");
}

#[test]
fn compare_agrees_on_equal_data_and_names_what_differs() {
    let world = World::new();
    world.load("embedded", all(3.0));
    world.load("kairosdb", all(3.0));
    let (status, text) = world.compare();
    assert_eq!(status, Some(0), "{text}");
    for formula in ["shop/one", "shop/both", "shop/height"] {
        assert!(text.lines().any(|line| line.starts_with(formula) && line.contains("100 %")), "{formula}: {text}");
    }
    // One point is altered, one series is missing in the second, one bucket late.
    world.load("kairosdb", [("a", 30, 4.5, "x")]);
    world.load("embedded", (0..MINUTES).map(|minute| ("b", minute, 1.0, "z")));
    world.load("embedded", [("level", MINUTES - 1, 7.0, "z"), ("level", MINUTES - 2, 7.0, "z")]);
    world.load("kairosdb", [("level", MINUTES - 2, 7.0, "z")]);
    let (status, text) = world.compare();
    assert_eq!(status, Some(1), "{text}");
    for named in [
        "g=x at 2026-01-05T00:30:00Z: embedded 3, kairosdb 4.5 (33.33 % apart)",
        "g=z at 2026-01-05T00:00:00Z: embedded 1, kairosdb no such series",
        "g=z at 2026-01-05T01:59:00Z: embedded 7, kairosdb null",
    ] {
        assert!(text.contains(named), "{named}\nis not in\n{text}");
    }
    let page = std::fs::read_to_string(world.path("report.html")).unwrap();
    assert!(page.contains("missing on kairosdb"));
    keep(&world.path("report.html"));
    // Nothing that was compared is no agreement.
    let nothing = ["--from", "2001-01-01T00:00:00Z", "--to", "2001-01-01T01:00:00Z", "--step", "1m"];
    let nothing = world.run(&[&["compare", "--left", "embedded", "--right", "kairosdb"], &nothing[..]].concat());
    let told = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(nothing.status.code() == Some(1) && told.contains("there was nothing to compare"), "{told}");
    let missing = world.run(&["compare", "--left", "embedded", "--right", "kairosdb", "--store", "typo.db"]);
    assert_eq!((missing.status.code(), world.path("typo.db").exists()), (Some(2), false));
    // A backend that cannot be reached is no difference.
    let unreachable =
        world.run(&["compare", "--left", "embedded", "--right", "m3db", "--m3db-url", "http://127.0.0.1:1"]);
    assert_eq!(unreachable.status.code(), Some(2), "{}", String::from_utf8_lossy(&unreachable.stderr));
}

/// For somebody to look at, where a folder for it is named.
fn keep(report: &Path) {
    if let Some(folder) = std::env::var_os("TSDB_WS_KEEP_REPORTS") {
        std::fs::copy(report, Path::new(&folder).join("report.html")).unwrap();
    }
}
