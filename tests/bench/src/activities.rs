//! Activities of Defender for Cloud Apps: a day of 100,000 of them, read by a scan.
//!
//! A first run reads them all, a second one its look-back alone. The API honours what a scan is made of: the filter on the
//! instant of saving, the rows of a page, and the filters that lead on.

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::CloudAppsList;

use crate::Outcome;
use crate::child::Role;
use crate::pages::Framing;
use crate::server::{Served, TOKEN, answer, next_message, serve_each};
use crate::shipped::Pull;
use crate::turns::{self, Finding, List, Stock};

const A_DAY: Stock = Stock { rows: 100_000, row_bytes: 4_000 };
/// The oldest one is younger than the start of a fresh service.
const REACH: SignedDuration = SignedDuration::from_hours(23);
/// The member of the filters that leads on.
const BEHIND: &str = "behind";

/// Measures the executable with both ways of sending.
pub fn measure(artefact: &Path) -> Outcome<Vec<Finding>> {
    let pull = |delivers: usize| Pull { event: json!({"force": true}), delivers: delivers as u64 };
    let list = List {
        role: Role::Activities,
        handler: "cloud-apps-activities",
        input: "microsoft_defender_cloud_apps",
        service: "activities",
        stock: A_DAY,
        turns: vec![("all of it", pull(A_DAY.rows)), ("nothing new", pull(0))],
    };
    turns::measure(artefact, &list)
}

/// Serves the activities until the process ends.
pub fn serve(stock: Stock) -> Outcome<Served> {
    let list = Scanned { stock, newest: Timestamp::now() };
    serve_each(move |socket| list.converse(socket))
}

/// The list, oldest first.
#[derive(Debug, Clone, Copy)]
struct Scanned {
    stock: Stock,
    newest: Timestamp,
}

impl Scanned {
    fn converse(self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let login = answer(TOKEN.as_bytes(), Framing::Length);
        let mut heard = Vec::new();
        while let Some((head, body)) = next_message(&mut socket, &mut heard)? {
            if !head.starts_with("POST /api/v1/activities/ ") {
                socket.write_all(&login)?;
                continue;
            }
            let asked = serde_json::from_slice(&body)?;
            socket.write_all(&answer(&self.page(&asked), Framing::Chunks))?;
        }
        Ok(())
    }

    fn page(self, asked: &Value) -> Vec<u8> {
        let bound = |name: &str| asked["filters"]["created"][name].as_i64();
        let behind = asked["filters"][BEHIND].as_u64().and_then(|index| usize::try_from(index).ok());
        let limit = asked["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(500);
        let is_meant = |index: &usize| {
            let saved = self.saved(*index).as_millisecond();
            bound("gte").is_none_or(|from| from <= saved) && bound("lte").is_none_or(|to| saved <= to)
        };
        let meant: Vec<usize> =
            (behind.unwrap_or(0)..self.stock.rows).filter(is_meant).take(limit + 1).collect();
        let served = meant.get(..limit).unwrap_or(&meant);
        let rows: Vec<String> = served.iter().map(|index| self.row(*index)).collect();
        let next = meant.get(limit).map_or_else(String::new, |index| {
            let mut filters = asked["filters"].clone();
            filters[BEHIND] = json!(index);
            format!(",\"nextQueryFilters\":{filters}")
        });
        let has_next = served.len() < meant.len();
        format!("{{\"data\":[{}],\"hasNext\":{has_next},\"max\":{limit}{next}}}", rows.join(",")).into_bytes()
    }

    fn saved(self, index: usize) -> Timestamp {
        let share = (self.stock.rows - index) as f64 / self.stock.rows as f64;
        let age = SignedDuration::try_from_secs_f64(REACH.as_secs_f64() * share).unwrap_or(REACH);
        self.newest.saturating_sub(age).unwrap_or(self.newest)
    }

    fn row(self, index: usize) -> String {
        let row = records::cloud_apps_record(CloudAppsList::Activities, index as u64, self.saved(index));
        self.stock.filled(row, "filling", index as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_scan_leads_through_all_rows_of_a_span_and_ends() {
        let newest: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let list = Scanned { stock: Stock { rows: 23, row_bytes: 4_000 }, newest };
        let (from, to) = (list.saved(5).as_millisecond(), list.saved(20).as_millisecond());
        let mut asked = json!({"filters": {"created": {"gte": from, "lte": to}}, "isScan": true, "limit": 4});
        let mut ids = BTreeSet::new();
        for expected in [4, 4, 4, 4] {
            let page: Value = serde_json::from_slice(&list.page(&asked)).unwrap();
            let rows = page["data"].as_array().unwrap();
            assert_eq!(rows.len(), expected);
            ids.extend(rows.iter().map(|row| row["_id"].as_str().unwrap().to_owned()));
            asked["filters"] = page["nextQueryFilters"].clone();
        }
        assert_eq!((ids.len(), &asked["filters"]), (16, &Value::Null));
        assert!((0..23).all(|index| (4_000..6_000).contains(&list.row(index).len())));
    }
}
