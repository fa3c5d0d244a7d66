//! An inventory of Defender for Endpoint: 200,000 machines, read by counting, snapshot after snapshot.
//!
//! A first snapshot sends everything, one finds nothing new, and one comes after as many full ones as the state keeps,
//! which is a day's each.

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use simulator::records;

use crate::Outcome;
use crate::child::Role;
use crate::pages::Framing;
use crate::server::{Served, TOKEN, answer, next_request, serve_each};
use crate::shipped::Pull;
use crate::turns::{self, Finding, List, Stock};

/// Rows are kept for 48 hours and two days more: these are the full snapshots that lie there beside the first.
const FULL_SNAPSHOTS: u32 = 4;

const MACHINES: Stock = Stock { rows: 200_000, row_bytes: 2_500 };

/// Measures the executable with both ways of sending.
pub fn measure(artefact: &Path) -> Outcome<Vec<Finding>> {
    let pull = |mode: &str, delivers: usize| Pull {
        event: json!({"force": true, "settings": {"snapshot_mode": mode}}),
        delivers: delivers as u64,
    };
    let rows = MACHINES.rows;
    let turns = [("the first", pull("changes", rows)), ("nothing new", pull("changes", 0))]
        .into_iter()
        .chain((0..FULL_SNAPSHOTS).map(|_| ("all of it again", pull("always", rows))))
        .chain([("nothing new after these", pull("changes", 0))]);
    let list = List {
        role: Role::Inventory,
        handler: "endpoint-machines",
        input: "microsoft_defender_endpoint",
        service: "machines",
        stock: MACHINES,
        turns: turns.collect(),
    };
    turns::measure(artefact, &list)
}

/// Serves the machines until the process ends.
pub fn serve(stock: Stock) -> Outcome<Served> {
    let seen = Timestamp::now();
    serve_each(move |socket| converse(stock, socket, seen))
}

fn converse(stock: Stock, mut socket: TcpStream, seen: Timestamp) -> io::Result<()> {
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
        socket.write_all(&answer(&page(stock, skip, top, seen), Framing::Chunks))?;
    }
    Ok(())
}

fn page(stock: Stock, skip: usize, top: usize, seen: Timestamp) -> Vec<u8> {
    let rows: Vec<String> =
        (skip..(skip + top).min(stock.rows)).map(|index| row(stock, index, seen)).collect();
    let context = "https://api.securitycenter.microsoft.com/api/$metadata#Machines";
    format!("{{\"@odata.context\":\"{context}\",\"value\":[{}]}}", rows.join(",")).into_bytes()
}

fn row(stock: Stock, index: usize, seen: Timestamp) -> String {
    stock.filled(records::machine(index as u64, seen), "deviceNotes", index as u64)
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
            let page: Value = serde_json::from_slice(&page(stock, skip, 4, seen)).unwrap();
            let rows = page["value"].as_array().unwrap();
            assert_eq!(rows.len(), expected, "{skip}");
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(ids.len(), stock.rows);
        assert!((0..10).all(|index| (2_500..2_600).contains(&row(stock, index, seen).len())));
        for request in ["GET /api/machines?$top=4&$skip=8 HTTP/1.1", "GET /m?%24skip=8&%24top=4 HTTP/1.1"] {
            assert_eq!((option(request, "top"), option(request, "skip")), (Some(4), Some(8)), "{request}");
        }
        assert_eq!(option("GET /api/machines?$top=4 HTTP/1.1", "skip"), None);
    }
}
