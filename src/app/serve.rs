//! Listeners, signals and the way down.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{App, demo, read_config};
use crate::config::Flags;
use crate::http::{self, HttpState, Reload};

/// How long connections are still taken after the signal to end, if requests are under way.
const FAREWELL: Duration = Duration::from_secs(10);

const AT_ONCE: &str = "ended at once by a second signal";

/// What is told once requests are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The address of the service, as it was bound.
    pub address: SocketAddr,
    /// The admin address, as it was bound.
    pub admin: SocketAddr,
    /// Whether the demo and its simulated data are served.
    pub demo: bool,
}

/// Serves until SIGINT or SIGTERM. Then requests under way may finish up to their deadline; a second signal ends at once.
/// SIGHUP reloads.
///
/// # Errors
/// When the configuration is wrong, an address is taken, a database cannot be opened or no keyspace can be served.
pub async fn serve(flags: Flags, announce: impl FnOnce(&Announcement)) -> anyhow::Result<()> {
    let config = read_config(&flags)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // Before anything slow, so that a taken address is told at once.
    let listener = bind(config.listen, "--listen").await?;
    let admin_listener = bind(config.admin_listen, "--admin-listen").await?;
    let mut signals = Signals::new()?;
    let app = Arc::new(App::open(flags, config).await?);
    // However it ends: what the repository holds on disk is removed.
    let _closing = Closing(Arc::clone(&app));
    app.follow();
    let demo = app.fill_demo().await?;
    let demo = match demo {
        Some((store, written_to)) => {
            tokio::spawn(demo::keep_current(Arc::new(store), written_to));
            true
        }
        None => false,
    };
    let addresses = Announcement { address: listener.local_addr()?, admin: admin_listener.local_addr()?, demo };
    let (stop, stopped) = watch::channel(false);
    let state = http_state(&app);
    app.service.shadow.start(Arc::clone(&state.metrics));
    let public = http::router(Arc::clone(&app.service), state.clone());
    let admin = http::admin_router(Arc::clone(&app.service), state.clone());
    let limits = app.service.setup().config.limits.clone();
    let servers = tokio::spawn(async move {
        let public = http::listen(listener, public, &limits, until(stopped.clone()));
        tokio::join!(public, http::listen(admin_listener, admin, &limits, until(stopped)));
    });
    tracing::info!(address = %addresses.address, admin = %addresses.admin, "serving");
    announce(&addresses);
    signals.wait_for_stop(&app).await;
    let deadline = app.service.setup().config.longest_deadline();
    state.readiness.drain();
    tracing::info!(deadline_ms = deadline.as_millis() as u64, "draining");
    // As long as requests are under way, `/readyz` tells balancers to go elsewhere, and who has not asked is still answered.
    tokio::select! {
        () = idle(&state) => {}
        () = tokio::time::sleep(deadline.min(FAREWELL)) => {}
        () = signals.stop() => bail!(AT_ONCE),
    }
    // The receivers live as long as the servers do; where those have ended there is nothing to tell.
    let _ = stop.send(true);
    drain(servers, deadline, &mut signals).await
}

/// Closes the service's repository when it is dropped. The servers' tasks hold the service itself to the end of the process.
struct Closing(Arc<App>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the routers need of the process.
fn http_state(app: &Arc<App>) -> HttpState {
    let (reloading, reporting, poked) = (Arc::clone(app), Arc::clone(app), Arc::clone(app));
    let reload: Reload = Arc::new(move || {
        let app = Arc::clone(&reloading);
        Box::pin(async move {
            match app.reload().await {
                Ok(reloaded) => serde_json::to_value(reloaded).map_err(|error| error.to_string()),
                Err(error) => Err(format!("{error:#}")),
            }
        })
    });
    HttpState {
        metrics: Arc::clone(&app.metrics),
        reload,
        poke: Arc::new(move || poked.poke()),
        status: Arc::new(move || reporting.status()),
        ..HttpState::default()
    }
}

/// Waits until no request is under way.
async fn idle(state: &HttpState) {
    while state.metrics.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for requests under way.
async fn drain(servers: tokio::task::JoinHandle<()>, deadline: Duration, signals: &mut Signals) -> anyhow::Result<()> {
    tokio::select! {
        ended = servers => ended.context("a listener failed"),
        () = tokio::time::sleep(deadline) => {
            tracing::warn!("requests were cut off at their deadline");
            Ok(())
        }
        () = signals.stop() => bail!(AT_ONCE),
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good a reason to stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => format!("another process listens there; end it, or choose another with {flag}"),
            io::ErrorKind::AddrNotAvailable => format!("this machine has no such address; choose another with {flag}"),
            io::ErrorKind::PermissionDenied => format!("that port needs rights; choose one from 1024 on with {flag}"),
            _ => format!("choose another with {flag}"),
        };
        anyhow::anyhow!("cannot listen on {address}: {error}; {hint}")
    })
}

/// The signals that a service heeds.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGINT or SIGTERM.
    async fn stop(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }

    /// Reloads at each SIGHUP until SIGINT or SIGTERM.
    async fn wait_for_stop(&mut self, app: &Arc<App>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => {
                    let app = Arc::clone(app);
                    // Its outcome is logged; a panic in it must not end the service.
                    tokio::spawn(async move { drop(app.reload().await) });
                }
            }
        }
    }
}
