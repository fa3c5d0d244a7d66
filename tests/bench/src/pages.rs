//! The data: pages of sign-ins, as the API would send them.
//!
//! Every process that needs them makes them from the same seeds, so the pages that are served and those that the parts
//! work on are the same bytes.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use simulator::records::sized_sign_in;

/// Path of the collection.
pub const PATH: &str = "/v1.0/auditLogs/signIns";

/// What the pages are like.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Shape {
    /// Number of pages.
    pub pages: usize,
    /// Records of each.
    pub page_records: usize,
    /// Bytes of a record at the least; 0 for the natural size of about 1.1 kB.
    pub record_bytes: usize,
    /// What the event time is called.
    pub time_member: TimeMember,
    /// The newest record's time; the others lie in the 50 minutes before it.
    pub newest: Timestamp,
    /// How the end of an answer is known.
    pub framing: Framing,
}

/// What the event time of a record is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeMember {
    /// As in sign-ins.
    Created,
    /// As in directory audits.
    Activity,
}

/// How the end of an answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// By its length, which is told first.
    Length,
    /// By its last chunk: the reader does not know what is coming.
    Chunks,
}

impl Shape {
    /// Records of all pages.
    pub fn records(&self) -> usize {
        self.pages * self.page_records
    }

    /// The body of this page, with a link to the next one under `base_url`.
    pub fn page(&self, number: usize, base_url: &str) -> Vec<u8> {
        let mut body =
            format!("{{\"@odata.context\":\"{base_url}/v1.0/$metadata#auditLogs/signIns\",\"value\":[");
        for index in number * self.page_records..(number + 1) * self.page_records {
            if !body.ends_with('[') {
                body.push(',');
            }
            let record = sized_sign_in(index as u64, self.time_of(index), &[], self.record_bytes);
            match self.time_member {
                TimeMember::Created => body.push_str(&record),
                TimeMember::Activity => {
                    body.push_str(&record.replacen("\"createdDateTime\"", "\"activityDateTime\"", 1))
                }
            }
        }
        body.push(']');
        if number + 1 < self.pages {
            body.push_str(&format!(",\"@odata.nextLink\":\"{base_url}{PATH}?$skiptoken={}\"", number + 1));
        }
        body.push('}');
        body.into_bytes()
    }

    fn time_of(&self, index: usize) -> Timestamp {
        let behind = SignedDuration::from_mins(50).as_millis() * (self.records() - index) as i128
            / self.records().max(1) as i128;
        let span = SignedDuration::from_millis(i64::try_from(behind).unwrap_or(0));
        self.newest.checked_sub(span).unwrap_or(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_distinct_records_and_lead_to_one_another() {
        let newest: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let shape = Shape {
            pages: 3,
            page_records: 5,
            record_bytes: 2_000,
            time_member: TimeMember::Created,
            newest,
            framing: Framing::Length,
        };
        let mut ids = std::collections::BTreeSet::new();
        for number in 0..shape.pages {
            let page: serde_json::Value = serde_json::from_slice(&shape.page(number, "http://h")).unwrap();
            let records = page["value"].as_array().unwrap();
            assert_eq!(records.len(), shape.page_records);
            ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
            assert!(records.iter().all(|record| record.to_string().len() >= shape.record_bytes));
            let next = page.get("@odata.nextLink").and_then(serde_json::Value::as_str);
            let expected =
                (number + 1 < shape.pages).then(|| format!("http://h{PATH}?$skiptoken={}", number + 1));
            assert_eq!(next, expected.as_deref());
        }
        assert_eq!(ids.len(), shape.records());
    }
}
