//! A proxy before a server: counts the HTTP requests that pass it at the socket, and refuses those it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Forwards to one server until the process ends.
pub struct Proxy {
    /// Where it listens.
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    requests: AtomicU32,
    refused: Mutex<Option<Vec<u8>>>,
    /// The head and the body of the last one.
    last: Mutex<(Vec<u8>, Vec<u8>)>,
}

impl Proxy {
    /// A proxy before `upstream`, an address as `http://127.0.0.1:7201`.
    pub fn before(upstream: &str) -> Proxy {
        let upstream = upstream.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, upstream, state) = (client.unwrap(), upstream.clone(), Arc::clone(&shared));
                std::thread::spawn(move || forward(client, &upstream, &state));
            }
        });
        Proxy { url, state }
    }

    /// How many requests there were since the last time that this was asked.
    pub fn requests(&self) -> u32 {
        self.state.requests.swap(0, Ordering::SeqCst)
    }

    /// The head and the body of the last request.
    pub fn last(&self) -> (String, Vec<u8>) {
        let (head, body) = self.state.last.lock().unwrap().clone();
        (String::from_utf8(head).unwrap(), body)
    }

    /// Answers 400 to requests whose bodies hold these bytes.
    pub fn refuse(&self, bytes: &[u8]) {
        *self.state.refused.lock().unwrap() = Some(bytes.to_vec());
    }
}

/// One connection: requests are read whole and counted, answers are passed on as they come.
fn forward(client: TcpStream, upstream: &str, state: &State) {
    let server = TcpStream::connect(upstream).unwrap();
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut requests = BufReader::new(client.try_clone().unwrap());
    while let Some((head, body)) = request(&mut requests) {
        *state.last.lock().unwrap() = (head.clone(), body.clone());
        state.requests.fetch_add(1, Ordering::SeqCst);
        let refused = state.refused.lock().unwrap().clone();
        if refused.is_some_and(|bytes| body.windows(bytes.len()).any(|window| window == bytes)) {
            // The connection carries one request at a time, so that no answer is under way.
            (&client).write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nrefused").unwrap();
            continue;
        }
        if (&server).write_all(&[head, body].concat()).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

/// Answers every request with what a function makes of its JSON: a database that holds nothing.
pub fn answering_server(answer: fn(&Value) -> Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut requests = BufReader::new(stream.try_clone().unwrap());
                while let Some((_, body)) = request(&mut requests) {
                    let body = answer(&serde_json::from_slice(&body).unwrap()).to_string();
                    let head = format!("content-type: application/json\r\ncontent-length: {}", body.len());
                    (&stream).write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
                }
            });
        }
    });
    url
}

/// The head and the body of the next request.
fn request(from: &mut impl BufRead) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let begun = head.len();
        if from.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&head[begun..]).to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        assert!(!line.starts_with("transfer-encoding:"), "the proxy reads no chunked requests");
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some((head, body))
}
