//! `serve`: the service, and what it says when it is up.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Status;
use crate::app::{self, Announcement, DEMO_KEYSPACE};
use crate::config::Flags;

pub async fn run(flags: Flags, out: &mut impl Write) -> anyhow::Result<Status> {
    let announce = |up: &Announcement| {
        // A service whose standard output is closed serves all the same.
        let _ = out.write_all(greeting(up).as_bytes()).and_then(|()| out.flush());
    };
    app::serve(flags, announce).await?;
    Ok(Status::Well)
}

fn greeting(up: &Announcement) -> String {
    let address = reachable(up.address);
    let mut text = format!("tsdb-ws serves on http://{address} (admin: http://{})\n", reachable(up.admin));
    if up.demo {
        text.push_str(&format!(
            "The keyspace `{DEMO_KEYSPACE}` is a simulated storefront experiment. Try:\n\n  \
             curl -s http://{address}/{DEMO_KEYSPACE} -H 'content-type: application/json' \\\n    \
             -d '{{\"formulas\": [\"conversion_rate\"], \"from\": \"now-1h\", \"step\": \"10m\"}}'\n\n"
        ));
    }
    text
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
    }
}
