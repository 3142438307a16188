//! Reviews a second over TLS: ours, beside a server that only allows and a webhook of the usual Go kind.
//!
//! ```text
//! cargo bench --bench server                              all of it, in about a minute and a half
//! cargo bench --bench server -- --only ours,go --rounds 20
//! cargo test --bench server                               only that everybody answers, in a few seconds
//! ```
//!
//! Each webhook is a process of its own, and all are kept to one core while the clients that load them have another.
//! They take turns of less than a second; each ratio is the median of the ratios of the single rounds, and is given
//! by CPU as well, since that is what counts where the clients are the slower ones or the machine has other work.
//! To build the Go webhook for the first time takes some minutes more.
//!
//! | Name | What it is |
//! |---|---|
//! | `nothing` | bare axum on hyper and rustls, as ours: reads the body, finds the uid, allows; logs and counts nothing |
//! | `shell` | our server, log and metrics included, with a review that does what `nothing` does |
//! | `ours` | `native-sidecar serve` with a certificate in files, JSON log lines to `/dev/null` |
//! | `go` | controller-runtime's webhook server: typed pod, changed copy, `PatchResponseFromRaw` |

#![allow(missing_docs)]

mod certificate;
mod cores;
#[path = "../least/mod.rs"]
mod least;
mod load;
mod process;
mod servers;
mod start;
mod table;
mod webhooks;

use certificate::Certificate;
use clap::Parser;
use cores::Cores;
use load::Client;
use servers::Serve;
use std::{error::Error, time::Duration};
use table::Table;
use webhooks::{Running, Webhook};

/// Connections at a time.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// How often ours is started.
const STARTS: usize = 9;

#[derive(Parser)]
struct Options {
    /// Only these webhooks.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Webhook>,
    /// How often they take turns.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each turn is, in milliseconds.
    #[arg(long, default_value_t = 800)]
    turn: u64,
    /// Cargo says so where it is to be measured, and not only tried.
    #[arg(long, hide = true)]
    bench: bool,
    /// What this program does as a child of itself.
    #[command(subcommand)]
    serve: Option<Serve>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    if let Some(serve) = options.serve {
        return serve.run();
    }
    let cores = Cores::split()?;
    let certificate = Certificate::make()?;
    let starts = start::measure(&cores, &certificate, if options.bench { STARTS } else { 1 })?;
    let mut running = options.start(&cores, &certificate)?;
    let client = Client::new(&certificate)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let table = runtime.block_on(options.measure(&mut running, &client))?;
    if options.bench {
        start::print(starts);
        table.print();
    } else {
        println!("all of them answer as they should; cargo bench --bench server measures how fast");
    }
    Ok(())
}

// === impl Options ===

impl Options {
    fn rounds(&self) -> u32 {
        if self.bench { self.rounds.max(1) } else { 1 }
    }

    fn turn(&self) -> Duration {
        Duration::from_millis(if self.bench { self.turn } else { 50 })
    }

    /// All of them unless something else is asked for; to build the Go webhook takes minutes, so where it is only
    /// tried, it has to be asked for.
    fn webhooks(&self) -> Vec<Webhook> {
        match self.only.as_slice() {
            [] if self.bench => Webhook::ALL.to_vec(),
            [] => vec![Webhook::Nothing, Webhook::Shell, Webhook::Ours],
            only => only.to_vec(),
        }
    }

    fn start(&self, cores: &Cores, certificate: &Certificate) -> Result<Vec<Running>, Box<dyn Error>> {
        let mut running = Vec::new();
        for webhook in self.webhooks() {
            running.extend(Running::start(webhook, cores, certificate)?);
        }
        Ok(running)
    }

    async fn measure(&self, running: &mut [Running], client: &Client) -> Result<Table, Box<dyn Error>> {
        for webhook in &mut *running {
            client.check(webhook).await?;
        }
        let mut table = Table::default();
        for _ in 0..self.rounds() {
            for connections in CONNECTIONS {
                for webhook in &*running {
                    table.add(webhook.kind, connections, client.load(webhook, connections, self.turn()).await?);
                }
            }
        }
        Ok(table)
    }
}
