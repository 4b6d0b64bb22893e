//! The service as a process: what its callers and its operator see from outside.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::process::{Place, Server, request, send, silent_server};

const SHOP: &str = "
parameters: { experiment: { type: string, optional: true }, platform: { type: string, optional: true } }
metrics:
  visitors: { series: shop.visitors, group_by: [variation], tags: { experiment: \"${experiment}\" } }
  secret: { series: hidden.sales, tags: { platform: \"${platform}\" } }
formulas:
  traffic: { expr: visitors, chart: { title: Visitors } }
  sales: secret
";

fn points() -> String {
    let mut points = "series,timestamp,value,variation,experiment,platform\n".to_owned();
    for minute in 0..600_i64 {
        let timestamp = 1_483_315_200_000 + minute * 60_000;
        for variation in ["a", "b", "c"] {
            points.push_str(&format!("shop.visitors,{timestamp},{minute},{variation},one,\n"));
        }
    }
    points.push_str("hidden.sales,1483315200000,1,,,web\n");
    points
}

const DAY: &str = "from=1483315200000&to=1483401600000";

fn shop(config: &str) -> (Place, Server) {
    let place = Place::with(&[("formulas/shop.yaml", SHOP), ("points.csv", &points()), ("tsdb-ws.yaml", config)]);
    assert_eq!(place.run(&["load", "points.csv"]).status.code(), Some(0));
    let server = place.serve(&[]);
    (place, server)
}

#[test]
fn every_path_takes_its_methods_and_names_them() {
    let (_place, server) = shop("formulas: formulas\ncors: { origins: [\"https://a.example.com\"] }\n");
    let get = ["/", "/keyspaces", "/openapi.json", "/docs", "/livez", "/readyz", "/healthz", "/shop/query"];
    let get = get.iter().map(|path| (*path, "GET,HEAD")).chain([("/shop/values/platform", "GET,HEAD")]);
    let all = get.chain([("/shop", "GET,HEAD,POST"), ("/shop/explain", "POST")]);
    for (path, allowed) in all {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"] {
            let reply = send(server.address, &request(method, path, &[], ""));
            let takes = allowed.split(',').any(|allowed| allowed == method);
            match method {
                "OPTIONS" => assert_eq!((reply.status, reply.header("allow")), (204, allowed.to_owned()), "{path}"),
                _ if takes => assert_ne!(reply.status, 405, "{method} {path}"),
                _ => {
                    assert_eq!((reply.status, reply.header("allow")), (405, allowed.to_owned()), "{method} {path}");
                    assert!(method == "HEAD" || reply.json()["code"] == "method_not_allowed", "{method} {path}");
                }
            }
            assert!(method != "HEAD" || reply.body.is_empty(), "{path}");
        }
    }
    let preflight = [("origin", "https://a.example.com"), ("access-control-request-method", "POST")];
    let reply = send(server.address, &request("OPTIONS", "/shop", &preflight, ""));
    assert_eq!(reply.header("access-control-allow-origin"), "https://a.example.com");
    let elsewhere = [("origin", "https://b.example.com")];
    assert_eq!(server.get_with("/shop", &elsewhere).header("access-control-allow-origin"), "");
    let admin = send(server.admin, &request("GET", "/status", &preflight, ""));
    assert_eq!(admin.header("access-control-allow-origin"), "", "no page of a browser reads the admin address");
}

#[test]
fn an_answer_can_be_kept_and_asked_for_again() {
    let (_place, server) = shop("formulas: formulas\n");
    let whole = format!("/shop/query?formula=traffic&{DAY}&step=1h");
    let reply = server.get(&whole);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("cache-control"), "private, max-age=60");
    let stages = ["parse;dur=", ", plan;dur=", ", cache;dur=", ", backend;dur=", ", evaluate;dur=", ", encode;dur="];
    assert!(stages.iter().all(|stage| reply.header("server-timing").contains(stage)));
    let known = server.get_with(&whole, &[("if-none-match", &reply.header("etag"))]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    for name in ["etag", "cache-control", "vary"] {
        assert_eq!(known.header(name), reply.header(name), "{name}");
    }
    let gzip = server.get_with(&whole, &[("accept-encoding", "gzip")]);
    assert_eq!((gzip.status, gzip.header("content-encoding")), (200, "gzip".to_owned()));
    for unfinished in ["/shop/query?formula=traffic", &format!("/shop/query?formula=traffic&formula=nope&{DAY}")] {
        assert_eq!(server.get(unfinished).header("cache-control"), "no-store", "{unfinished}");
    }
}

#[test]
fn a_limit_of_one_formula_is_told_with_its_numbers() {
    let (_place, server) = shop("formulas: formulas\nlimits: { series: 2 }\n");
    let body = json!({ "formulas": ["traffic", "*"], "from": 1_483_315_200_000_i64, "to": 1_483_318_800_000_i64 });
    let answer = server.post("/shop", &body).json();
    let error = &answer["results"][0]["error"];
    assert_eq!((&error["code"], &error["limit"]), (&json!("limit_exceeded"), &json!("series")));
    assert_eq!((&error["value"], &error["maximum"]), (&json!(3), &json!(2)));
    assert!(error["detail"].as_str().unwrap().starts_with("at least 3 series are over the limit `series` of 2; "));
    let hint = answer["results"][1]["error"]["detail"].as_str().unwrap();
    assert!(hint.contains("\"formulas\": \"*\""), "{hint}");
}

#[test]
fn a_star_alone_in_a_list_is_the_star() {
    let (_place, server) = shop("formulas: formulas\n");
    let names = |formulas: Value| -> Vec<Value> {
        let answer = server.post("/shop", &json!({ "formulas": formulas })).json();
        answer["results"].as_array().unwrap().iter().map(|result| result["name"].clone()).collect()
    };
    let all = names(json!("*"));
    assert!(!all.is_empty() && !all.contains(&json!("*")));
    assert_eq!(names(json!(["*"])), all);
}

#[test]
fn a_formula_over_the_limits_takes_nothing_from_others() {
    let heavy = (0..14).fold("m".to_owned(), |expr, at| format!("{expr} + offset(m, \\\"{}h\\\")", at + 2));
    let keyspace = format!(
        "metrics: {{ m: s, n: t }}\nformulas: {{ heavy: \"{heavy}\", light: m, other: 'offset(n, \"1h\") + n' }}\n"
    );
    let place = Place::with(&[
        ("formulas/k.yaml", &keyspace),
        ("tsdb-ws.yaml", "formulas: formulas\nlimits: { answer_points: 270 }\n"),
    ]);
    let server = place.serve(&[]);
    let ask = |formulas: Value| {
        let body = json!({ "formulas": formulas, "from": 0, "to": 90 * 60_000, "step": "1m" });
        server.post("/k", &body).json()
    };
    let alone = ask(json!(["light", "other"]));
    let beside = ask(json!(["heavy", "light", "other"]));
    assert_eq!(beside["results"][0]["error"]["code"], "limit_exceeded", "{beside}");
    assert_eq!(beside["results"][1], alone["results"][0]);
    assert_eq!(beside["results"][2], alone["results"][1]);
    assert_eq!(beside["stats"]["selections"], alone["stats"]["selections"]);
    assert_eq!(alone["results"][1].get("error"), None, "{alone}");
}

#[test]
fn everything_that_is_wrong_with_a_request_is_told_at_once() {
    let (_place, server) = shop("formulas: formulas\n");
    let body = json!({
        "formulas": ["traffic", { "formula": 7 }, { "formula": "traffic", "name": "x", "params": { "zork": 1 } }],
        "from": "garbage", "to": true, "step": "7x", "timezone": "Mars", "summary": "yes", "bogus": 1, "params": { "nope": 1 }
    });
    let pointers = |answer: &crate::support::process::Reply| -> Vec<String> {
        let told = answer.json();
        told["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["/shop", "/shop/explain"] {
        let mut found = pointers(&server.post(path, &body));
        found.sort();
        let expected = [
            "/bogus",
            "/formulas/1/formula",
            "/formulas/2/params/zork",
            "/from",
            "/params/nope",
            "/step",
            "/summary",
            "/timezone",
            "/to",
        ];
        assert_eq!(found, expected, "{path}");
    }
    let query = "/shop/query?formula=traffic&from=garbage&step=7x&timezone=Mars&bogus=1&param.nope=1";
    let mut found = pointers(&server.get(query));
    found.sort();
    assert_eq!(found, ["/bogus", "/from", "/param.nope", "/step", "/timezone"]);
    let mut found = pointers(&server.get("/shop/values/nope?from=garbage&bogus=1&param.zork=1"));
    found.sort();
    assert_eq!(found, ["/bogus", "/from", "/param.zork"]);
}

#[test]
fn an_automatic_step_is_within_the_limit_and_a_table_without_lines_has_its_header() {
    let (_place, server) = shop("formulas: formulas\nlimits: { answer_points: 100 }\n");
    let asked = "/shop/query?formula=traffic&from=0&to=86400000&max_points=100000";
    let answer = server.get_with(asked, &[("cache-control", "no-cache")]);
    assert_eq!((answer.status, &answer.json()["step"]), (200, &json!("15m")), "{}", answer.text());
    let table = server.get_with(asked, &[("accept", "text/csv")]);
    assert_eq!((table.status, table.text().trim_end()), (200, "name,timestamp,value,variation"));
}

#[test]
fn extra_of_a_chart_passes_through_untouched() {
    let keyspace = "metrics: { m: s }
formulas:
  f: { expr: m, chart: { title: t, extra: { z: 18446744073709551615, a: [1.50, 0x10, 12345678901234567890123, \"1\", null], m: {} } } }
";
    let place = Place::with(&[("formulas/k.yaml", keyspace), ("tsdb-ws.yaml", "formulas: formulas\n")]);
    let server = place.serve(&[]);
    let answer = server.get("/k/query?formula=f&from=0&to=60000&step=1m").text();
    let extra = "\"extra\":{\"z\":18446744073709551615,\"a\":[1.50,16,12345678901234567890123,\"1\",null],\"m\":{}}}";
    assert!(answer.contains(extra), "{answer}");
}

#[test]
fn the_step_that_would_fit_fits() {
    let (_place, server) = shop("formulas: formulas\nlimits: { answer_points: 1000 }\n");
    for hours in [10, 24, 24 * 30] {
        let to = 1_483_315_200_000_i64 + hours * 3_600_000;
        let mut body = json!({ "formulas": ["traffic"], "from": 1_483_315_200_000_i64, "to": to, "step": "1m" });
        let refused = server.post("/shop", &body);
        let problem = refused.json();
        assert_eq!(
            (refused.status, &problem["code"], &problem["limit"]),
            (422, &json!("limit_exceeded"), &json!("answer_points"))
        );
        assert!(problem["value"].as_u64() > problem["maximum"].as_u64());
        assert!(problem["detail"].as_str().unwrap().contains(problem["step"].as_str().unwrap()));
        body["step"] = problem["step"].clone();
        let answer = server.post("/shop", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()["stats"]["points"].as_u64().unwrap() <= 1000);
    }
}

#[test]
fn whole_numbers_are_times_however_they_are_written() {
    let (_place, server) = shop("formulas: formulas\n");
    for from in
        ["1483315200000", "1483315200000.0", "1.4833152e12", "\"1483315200000\"", "\"2017-01-02T01:00:00+01:00\""]
    {
        let body = format!("{{\"formulas\": [\"traffic\"], \"from\": {from}, \"to\": 1483315260000}}");
        let reply = send(server.address, &request("POST", "/shop", &[("content-type", "application/json")], &body));
        assert_eq!(reply.json()["timestamps"], json!([1_483_315_200_000_i64]), "{from}");
    }
}

#[test]
fn what_a_keyspace_may_read_holds_for_every_path() {
    let keyspace = "formulas: formulas\nkeyspaces: { shop: { allow: [\"shop.*\"] } }\n";
    let (_place, server) = shop(keyspace);
    let body = json!({ "formulas": ["traffic", "sales"], "from": 1_483_315_200_000_i64, "to": 1_483_315_260_000_i64 });
    let answer = server.post("/shop", &body).json();
    assert_eq!(answer["results"][0].get("error"), None, "{answer}");
    let code = answer["results"][1]["error"]["code"].clone();
    assert!(code.is_string(), "{answer}");
    let explained = server.post("/shop/explain", &body);
    assert_eq!(explained.json()["plan"][1]["error"]["code"], code);
    assert!(!explained.json()["calls"].to_string().contains("hidden.sales"));
    assert_eq!(server.get(&format!("/shop/values/platform?{DAY}")).json()["values"], json!([]));
    assert_eq!(server.get(&format!("/shop/values/experiment?{DAY}")).json()["values"], json!(["one"]));
}

#[test]
fn an_index_of_documents_is_read_where_allow_names_it() {
    let keyspace = "metrics:
  own: { series: shop.a, backends: { elasticsearch: { index: shop.events } } }
  other: { series: shop.a, backends: { elasticsearch: { index: \"secret-*\" } } }
formulas: { own_total: own, other_total: other }
";
    let config = "keyspaces: { shop: { allow: [\"shop.*\"] } }\nbackend: elasticsearch\n";
    let place = Place::with(&[("formulas/shop.yaml", keyspace), ("tsdb-ws.yaml", config)]);
    let run = place.run(&["explain", "shop", "own_total", "other_total", "--format", "json"]);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(told["plan"][0].get("error"), None, "{told}");
    assert_eq!(told["plan"][1]["error"]["code"], "series_not_allowed");
    assert!(!told["calls"].to_string().contains("secret"), "{told}");
}

#[test]
fn every_wrong_field_of_a_request_is_told_at_once() {
    let (_place, server) = shop("formulas: formulas\n");
    let body = json!({ "formulas": ["traffic"], "step": "90s", "from": "soon", "timezone": "Mars/Base", "params": { "q": 1 } });
    let problem = server.post("/shop", &body).json();
    let errors = problem["errors"].as_array().unwrap().iter();
    let mut places: Vec<&str> = errors.map(|error| error["pointer"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/from", "/params/q", "/step", "/timezone"]);
    let whole = json!({ "formulas": ["traffic"], "from": 0, "to": 60_000, "max_points": 10.0 });
    assert_eq!(server.post("/shop", &whole).status, 200);
}

#[test]
fn keyspaces_to_compare_are_named_after_the_flags() {
    let place = Place::with(&[("formulas/shop.yaml", SHOP)]);
    let run = place.run(&["compare", "--left", "embedded", "--right", "embedded", "shop"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.code() == Some(2) && said.contains("two backends"), "{said}");
}

#[test]
fn limits_of_a_keyspace_hold_for_every_path_that_costs() {
    let rate = "formulas: formulas\nkeyspaces: { shop: { limits: { queries_per_second: 1 } } }\n";
    let (_place, server) = shop(rate);
    let values = format!("/shop/values/experiment?{DAY}");
    let paths = [values.as_str(), "/shop/query?formula=traffic", &values, "/shop/query?formula=traffic"];
    let replies: Vec<_> = paths.iter().cycle().take(12).map(|path| server.get(path)).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!(!refused.is_empty() && replies[0].status == 200);
    for reply in refused {
        assert_eq!((reply.json()["code"].as_str().unwrap(), reply.header("retry-after")), ("rate_limited", "1".into()));
    }
}

#[test]
fn a_silent_database_costs_its_deadline_and_a_dead_one_nothing_else() {
    let silent = silent_server();
    let config = format!(
        "formulas: formulas\nbackends: {{ kairosdb: {{ url: \"http://{silent}\" }} }}\nlimits: {{ deadline: 200ms }}\n\
         keyspaces: {{ slow: {{ backend: kairosdb }}, one: {{ backend: kairosdb, limits: {{ deadline: 20s, concurrency: 1 }} }} }}\n"
    );
    let place = Place::with(&[("formulas/shop.yaml", SHOP), ("tsdb-ws.yaml", &config)]);
    place.write("formulas/slow.yaml", SHOP);
    place.write("formulas/one.yaml", SHOP);
    let server = place.serve(&[]);
    for path in ["/slow/query?formula=traffic", "/slow/values/experiment"] {
        let reply = server.get(path);
        assert_eq!(reply.status, 504, "{}", reply.text());
    }
    assert_eq!(server.get("/shop/query?formula=traffic").status, 200);
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(server.get(path).status, 200);
    }
    assert_eq!(server.get("/healthz?verbose").json()["backends"]["kairosdb"]["healthy"], false);
    // A keyspace's own deadline may be longer than the service's: the request is still under way when the next comes.
    let mut waiting = TcpStream::connect(server.address).unwrap();
    waiting.write_all(&request("GET", "/one/query?formula=traffic", &[], "")).unwrap();
    std::thread::sleep(Duration::from_millis(800));
    let reply = server.get("/one/query?formula=traffic");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (429, Some("too_many_requests")), "{}", reply.text());

    let config = config.replace(&silent.to_string(), "127.0.0.1:1");
    place.write("tsdb-ws.yaml", &config);
    assert_eq!(server.admin("POST", "/reload").status, 200);
    let reply = server.get("/slow/query?formula=traffic");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("backend_failed")));
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn a_signal_drains_and_readyz_says_so() {
    let silent = silent_server();
    let place = Place::with(&[("formulas/shop.yaml", SHOP)]);
    let url = format!("http://{silent}");
    let mut server = place.serve(&["--backend", "kairosdb", "--kairosdb-url", &url, "--limits-deadline", "3s"]);
    let mut waiting = TcpStream::connect(server.address).unwrap();
    waiting.write_all(&request("GET", "/shop/query?formula=traffic", &[], "")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    server.wait_for_log("draining");
    for path in ["/readyz", "/healthz"] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("draining")));
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(server.get("/livez").status, 200);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "the request under way is answered: {answer}");
    assert_eq!(server.status(), 0);
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn who_sends_nothing_is_let_go_and_who_sends_slowly_is_told() {
    let place = Place::with(&[("formulas/shop.yaml", SHOP)]);
    let server = place.serve(&["--limits-idle", "300ms", "--limits-deadline", "300ms", "--store", "s.db"]);
    for beginning in ["", "GET /shop HTTP/1.1\r\nhos"] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(beginning.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    let head = "POST /shop HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    assert_eq!(send(server.address, head.as_bytes()).status, 408);
    let long = format!("GET /shop HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    assert_eq!(send(server.address, long.as_bytes()).status, 431);
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn more_connections_than_the_limit_wait_for_a_place() {
    let place = Place::with(&[("formulas/shop.yaml", SHOP)]);
    let server = place.serve(&["--limits-idle", "500ms", "--limits-connections", "2", "--store", "s.db"]);
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    assert_eq!(server.get("/livez").status, 200, "answered once those that say nothing were let go");
    drop(held);
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_does() {
    let (place, server) = shop("formulas: formulas\n");
    let count = || server.get("/keyspaces").json()["keyspaces"].as_array().unwrap().len();
    for bad in ["formulas: nowhere\n", "limits: { body: much }\n", "listen: [\n", "zork: 1\n", "", "# gone\n"] {
        place.write("tsdb-ws.yaml", bad);
        let reply = server.admin("POST", "/reload");
        assert_eq!((reply.status, reply.json()["code"].as_str()), (422, Some("reload_failed")), "{bad}");
        server.signal("HUP");
        server.wait_for_log("reload failed; nothing changed");
        assert_eq!((count(), server.get("/shop/query?formula=traffic").status), (1, 200), "{bad}");
    }
    // What is in the way of a new configuration is not in the way of the repository that is followed.
    place.write("formulas/more.yaml", "metrics: { m: s }\nformulas: { f: m }\n");
    (0..500).take_while(|_| count() == 1).for_each(|_| std::thread::sleep(Duration::from_millis(10)));
    assert_eq!(count(), 2);
    place.write("tsdb-ws.yaml", "formulas: formulas\nlimits: { body: 10B }\n");
    server.signal("HUP");
    server.wait_for_log("\"reloaded\"");
    assert_eq!(count(), 2);
    assert_eq!(server.post("/shop", &json!({ "formulas": ["traffic"] })).status, 413);
}

#[test]
fn a_file_that_turns_bad_is_told_and_what_was_good_is_served() {
    let (place, server) = shop("formulas: formulas\n");
    let shop = || server.admin("GET", "/status").json()["keyspaces"]["shop"].clone();
    let good = shop();
    place.write("formulas/shop.yaml", "metrics: { m: s }\nformulas: { traffic: n }\n");
    (0..500).take_while(|_| shop()["state"] == "serving").for_each(|_| std::thread::sleep(Duration::from_millis(10)));
    let bad = shop();
    assert_eq!((&bad["state"], &bad["revision"]), (&json!("last_good"), &good["revision"]));
    let found = bad["diagnostics"].as_array().unwrap().iter().find(|found| found["severity"] == "error").unwrap();
    assert_eq!(
        (&found["code"], &found["file"], &found["line"]),
        (&json!("unknown_name"), &json!("shop.yaml"), &json!(2))
    );
    assert_eq!(server.get("/shop/query?formula=traffic").status, 200);
    let metrics = server.admin("GET", "/metrics").text();
    assert!(metrics.contains("tsdb_ws_keyspace{keyspace=\"shop\",state=\"last_good\""), "{metrics}");
    assert!(metrics.contains("tsdb_ws_reload_drops_total 0\n"), "{metrics}");
}

#[test]
fn metrics_are_text_that_prometheus_reads() {
    let (_place, server) = shop("formulas: formulas\n");
    server.get("/shop/query?formula=traffic");
    let reply = server.admin("GET", "/metrics");
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    assert!(text.contains("# TYPE tsdb_ws_requests_total counter\n") && !text.contains("# EOF"), "{text}");
    assert!(text.contains("tsdb_ws_backend_calls_total{backend=\"embedded\",outcome=\"ok\"} 1\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
    }
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = send(server.admin, &request("GET", "/metrics", &accept, ""));
    assert!(open.header("content-type").starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
}

#[test]
fn the_demo_never_takes_the_place_of_what_is_served() {
    let (keys, config) = ("keys/shop.yaml", "tsdb-ws.yaml");
    let place = Place::with(&[(keys, SHOP), ("points.csv", &points()), (config, "formulas: keys\n")]);
    assert_eq!(place.run(&["load", "points.csv"]).status.code(), Some(0));
    let server = place.serve(&[]);
    place.write(config, "formulas:\nlimits: { formulas: 50 }\n");
    let reply = server.admin("POST", "/reload");
    assert!(reply.status == 422 && reply.text().contains("the program's own demo"), "{}", reply.text());
    assert_eq!(server.get("/shop").status, 200);
}

#[test]
fn the_operator_sees_what_is_served() {
    let (_place, server) = shop("formulas: formulas\n");
    assert!(server.admin("GET", "/version").json()["version"].is_string());
    let status = server.admin("GET", "/status").json();
    assert_eq!(status["keyspaces"]["shop"]["state"], "serving");
    assert_eq!(status["backends"]["embedded"]["healthy"], true);
    assert_eq!(server.admin("GET", "/reload").header("allow"), "POST");
    let profile = server.admin("GET", "/debug/pprof/profile?seconds=1");
    assert_eq!((profile.status, profile.body.is_empty()), (200, false));
    assert_eq!(server.admin("GET", "/debug/pprof/profile?seconds=0").status, 422);
    let heap = server.admin("GET", "/debug/pprof/heap");
    let gzip = [0x1f, 0x8b];
    assert!(heap.status == 200 && heap.body.len() > 100 && heap.body.starts_with(&gzip), "{}", heap.text());
    assert_eq!(server.get("/metrics").status, 404, "only the admin address has them");
}

#[test]
fn acknowledged_points_survive_a_kill_while_the_service_reads() {
    let place = Place::with(&[("formulas/shop.yaml", SHOP), ("points.csv", &points())]);
    let mut server = place.serve(&["--store", "s.db"]);
    assert_eq!(place.run(&["load", "points.csv", "--store", "s.db"]).status.code(), Some(0));
    let query = format!("/shop/query?formula=traffic&{DAY}&step=1h");
    let before: Value = server.get(&query).json();
    assert_eq!(before["results"][0]["series"].as_array().unwrap().len(), 3);
    server.kill();
    let again = place.serve(&["--store", "s.db"]);
    assert_eq!(again.get(&query).json()["results"], before["results"]);
}

#[test]
fn with_no_flags_the_demo_is_served_and_the_command_to_try_works() {
    let place = Place::with(&[]);
    let server = place.serve(&[]);
    let shown: Vec<String> = std::iter::from_fn(|| server.out.recv_timeout(Duration::from_secs(10)).ok())
        .take_while(|line| !line.contains("-d '"))
        .collect();
    assert!(shown.iter().any(|line| line.contains("simulated")), "{shown:?}");
    assert!(shown.iter().any(|line| line.contains(&format!("curl -s http://{}/demo", server.address))), "{shown:?}");
    let body = json!({ "formulas": ["conversion_rate"], "from": "now-1h", "step": "10m" });
    let answer = server.post("/demo", &body).json();
    let series = answer["results"][0]["series"].as_array().unwrap();
    assert_eq!(series.len(), 2);
    assert_eq!(series[0]["values"].as_array().unwrap().len(), answer["timestamps"].as_array().unwrap().len());
    assert!(series.iter().all(|one| one["values"][2].is_number()), "{answer}");
}
