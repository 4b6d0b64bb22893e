//! Fifty formulas over 200 series of 1,440 points, by the service, by numpy and by polars.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::measure::{Contestant, at_most, take_turns};
use super::shop::{LEAD, Page, Shop, Size};

pub const KEYSPACE: &str = include_str!("formulas.yaml");

pub fn run() {
    let shop = Shop::new(Size { countries: 100, points: 1_440 });
    let names = formulas();
    let page = Page::new(&shop, KEYSPACE, &names);
    // As they are installed, and told to keep what they free: arrays of megabytes come fresh from the system each time else.
    let python = RefCell::new(Python::start(&shop, &[]));
    let kept = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"].map(|name| (name, "4000000000"));
    let keeping = RefCell::new(Python::start(&shop, &kept));
    for peer in ["numpy", "polars"] {
        python.borrow_mut().agrees(peer, &page, &names);
    }
    let mut contestants = [
        Contestant::new("tsdb-ws", || drop(black_box(page.evaluate()))),
        Contestant::new("numpy", || python.borrow_mut().run("numpy")),
        Contestant::new("numpy, memory kept", || keeping.borrow_mut().run("numpy")),
        Contestant::new("polars", || python.borrow_mut().run("polars")),
    ];
    take_turns(&mut contestants, 25);
    for peer in &contestants[1..] {
        at_most(&format!("tsdb-ws by {}", peer.name()), contestants[0].ratio_to(peer), 1.0);
    }
}

/// Their names, in the order of the peers.
pub fn formulas() -> Vec<String> {
    (1..=50).map(|index| format!("f{index:02}")).collect()
}

/// The process that has both peers.
struct Python {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(shop: &Shop, environment: &[(&str, &str)]) -> Python {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/language/peers");
        let mut command = Command::new(script);
        command
            .arg(env!("CARGO_TARGET_TMPDIR"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (mut requests, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let Size { countries, points } = shop.size;
        let head = serde_json::json!({ "countries": countries, "points": points, "lead": LEAD });
        writeln!(requests, "{head}").unwrap();
        requests.write_all(&shop.values().flat_map(f64::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        Python { process, requests, answers: BufReader::new(answers) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the peers ended: {:?}", self.process.wait());
        line.trim().to_owned()
    }

    /// Computes everything once.
    fn run(&mut self, peer: &str) {
        writeln!(self.requests, "{peer}").unwrap();
        black_box(self.line());
    }

    /// Panics where a peer comes to something else.
    fn agrees(&mut self, peer: &str, page: &Page, names: &[String]) {
        writeln!(self.requests, "{peer} values").unwrap();
        let mut nulls = 0;
        for (name, found) in names.iter().zip(page.evaluate()) {
            let own: Vec<f64> = found.series.into_iter().flat_map(|(_, column)| column.values).collect();
            let mut other = vec![0; self.line().parse::<usize>().unwrap() * 8];
            self.answers.read_exact(&mut other).unwrap();
            let other: Vec<f64> =
                other.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect();
            assert_eq!(own.len(), other.len(), "{name} by {peer}");
            for (place, (own, other)) in own.iter().zip(&other).enumerate() {
                // Differences of running sums lose what the sums are greater by.
                let close = (own - other).abs() <= 1e-9 * own.abs().max(1.0) || (own.is_nan() && other.is_nan());
                assert!(close, "{name} at {place}: {own}, by {peer} {other}");
            }
            nulls += own.iter().filter(|value| value.is_nan()).count();
        }
        println!("  {peer} comes to the same, {nulls} of it null");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
