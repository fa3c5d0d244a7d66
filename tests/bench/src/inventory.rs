//! An inventory of Defender for Endpoint: 200,000 machines, read by counting, snapshot after snapshot.
//!
//! Each snapshot is read by a new process, which has to load what the ones before remembered: a first one that sends
//! everything, one that finds nothing new, and one after as many full ones as the state keeps, which is a day's each. The
//! API is another process that makes its rows as they are asked for; units are those that the database would bill.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use simulator::records;

use crate::child::{self, Role};
use crate::costs::meter::Meter;
use crate::pages::Framing;
use crate::pipeline::Packing;
use crate::server::{Served, TOKEN, answer, next_request};
use crate::shipped::{Job, Pull, Stage, Usage};
use crate::{Outcome, shipped};

/// Rows are kept for 48 hours and two days more: these are the full snapshots that lie there beside the first.
const FULL_SNAPSHOTS: u32 = 4;

/// What the inventory holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Stock {
    /// Machines.
    pub rows: usize,
    /// Bytes of each, at the least.
    pub row_bytes: usize,
}

const MACHINES: Stock = Stock { rows: 200_000, row_bytes: 2_500 };

/// What one snapshot took.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Which one.
    pub turn: &'static str,
    /// What was read.
    pub stock: Stock,
    /// How the events were sent.
    pub packing: Packing,
    /// Requests for pages.
    pub requests: u64,
    /// Write request units.
    pub units_written: f64,
    /// Read request units.
    pub units_read: f64,
    /// Memory and processor time.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Measures the executable with both ways of sending.
pub fn measure(artefact: &Path) -> Outcome<Vec<Finding>> {
    let mut findings = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip] {
        findings.extend(tokio::runtime::Runtime::new()?.block_on(snapshots(artefact, MACHINES, packing))?);
    }
    Ok(findings)
}

async fn snapshots(artefact: &Path, stock: Stock, packing: Packing) -> Outcome<Vec<Finding>> {
    let (_api, api): (_, Served) = child::start(Role::Inventory, &stock)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let job = Job {
        handler: "endpoint-machines",
        input: "microsoft_defender_endpoint",
        service: "machines",
        api,
        receiver,
        packing,
        rounds: 1,
        records: stock.rows,
    };
    let meter = Meter::start(shipped::start_database().await?, Duration::ZERO).await?;
    let stage = Stage::set(&job, meter.address()).await?;
    let pull = |mode: &str, delivers: usize| Pull {
        event: json!({"force": true, "settings": {"snapshot_mode": mode}}),
        delivers: delivers as u64,
    };
    let turns = [("the first", pull("changes", stock.rows)), ("nothing new", pull("changes", 0))]
        .into_iter()
        .chain((0..FULL_SNAPSHOTS).map(|_| ("all of it again", pull("always", stock.rows))))
        .chain([("nothing new after these", pull("changes", 0))]);
    let mut findings = Vec::new();
    for (turn, pull) in turns {
        let before = meter.consumed();
        let (usage, answers) = stage.play(artefact, &[pull]).await?;
        let consumed = meter.consumed();
        findings.push(Finding {
            turn,
            stock,
            packing,
            requests: answers.iter().filter_map(|answer| answer["requests"].as_u64()).sum(),
            units_written: consumed.writes - before.writes,
            units_read: consumed.reads - before.reads,
            usage,
        });
    }
    Ok(findings)
}

/// Serves the machines until the process ends.
pub fn serve(stock: Stock) -> Outcome<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let seen = Timestamp::now();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // A client that leaves ends its thread, and nothing else.
            thread::spawn(move || _ = stock.converse(socket, seen));
        }
    });
    Ok(Served { base_url })
}

impl Stock {
    fn converse(self, mut socket: TcpStream, seen: Timestamp) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let login = answer(TOKEN.as_bytes(), Framing::Length);
        let mut heard = Vec::new();
        while let Some(request) = next_request(&mut socket, &mut heard)? {
            if request.starts_with("POST ") {
                socket.write_all(&login)?;
                continue;
            }
            let skip = option(&request, "skip").unwrap_or(0);
            let top = option(&request, "top").ok_or(io::ErrorKind::InvalidInput)?;
            socket.write_all(&answer(&self.page(skip, top, seen), Framing::Chunks))?;
        }
        Ok(())
    }

    fn page(self, skip: usize, top: usize, seen: Timestamp) -> Vec<u8> {
        let rows: Vec<String> =
            (skip..(skip + top).min(self.rows)).map(|index| self.row(index, seen)).collect();
        let context = "https://api.securitycenter.microsoft.com/api/$metadata#Machines";
        format!("{{\"@odata.context\":\"{context}\",\"value\":[{}]}}", rows.join(",")).into_bytes()
    }

    fn row(self, index: usize, seen: Timestamp) -> String {
        let mut row = records::machine(index as u64, seen);
        row.pop();
        row.push_str(",\"deviceNotes\":\"");
        while row.len() + 2 < self.row_bytes {
            let salt = (row.len() as u64 ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            row.push_str(&format!("{salt:016x} "));
        }
        row.push_str("\"}");
        row
    }
}

/// The number of a query option, whose dollar sign may be percent-encoded.
fn option(request: &str, name: &str) -> Option<usize> {
    let (query, _) = request.split_once('?')?.1.split_once(' ')?;
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim_start_matches("%24").trim_start_matches('$').eq(name).then_some(value)
    });
    value?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn pages_hold_the_rows_that_are_asked_for_in_their_size_and_end() {
        let stock = Stock { rows: 10, row_bytes: 2_500 };
        let seen: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for (skip, expected) in [(0, 4), (4, 4), (8, 2), (12, 0)] {
            let page: Value = serde_json::from_slice(&stock.page(skip, 4, seen)).unwrap();
            let rows = page["value"].as_array().unwrap();
            assert_eq!(rows.len(), expected, "{skip}");
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(ids.len(), stock.rows);
        assert!((0..10).all(|index| (2_500..2_600).contains(&stock.row(index, seen).len())));
        for request in ["GET /api/machines?$top=4&$skip=8 HTTP/1.1", "GET /m?%24skip=8&%24top=4 HTTP/1.1"] {
            assert_eq!((option(request, "top"), option(request, "skip")), (Some(4), Some(8)), "{request}");
        }
        assert_eq!(option("GET /api/machines?$top=4 HTTP/1.1", "skip"), None);
    }
}
