//! Much that arrives: counted by its hash and not kept, by a receiver that looks at each event and forgets it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use simulator::receiver::{Receiver, ReceiverConfig};

use super::{contract, document};

/// What arrived, counted by the hash of each record.
#[derive(Clone, Default)]
pub struct Counted(Arc<Mutex<HashMap<u64, u32>>>);

impl Counted {
    /// A receiver that counts, and the Devo secret that leads to it.
    pub async fn receiver(&self) -> (Receiver, Value) {
        let receiver = Receiver::start(ReceiverConfig::default()).await.unwrap();
        let counts = Arc::clone(&self.0);
        receiver.on_event(move |event| {
            if !event.tag.starts_with("devo.") {
                let record = contract::record_of(std::str::from_utf8(&event.message).unwrap());
                *counts.lock().unwrap().entry(hash_of(&record)).or_default() += 1;
            }
        });
        let pki = receiver.pki().unwrap();
        let (client, chain) = (&pki.client, &pki.chain_pem);
        let secret =
            document::devo(receiver.address(), chain, &client.certificate_pem, &client.private_key_pem);
        (receiver, secret)
    }

    /// Each of the expected records arrived once and nothing else did. Counting begins anew.
    pub fn assert_once(&self, expected: impl Iterator<Item = String>) {
        assert_eq!(self.assert_all(expected), 0, "records came twice");
    }

    /// Each of the expected records arrived, none more than twice, and nothing else did; gives how many came twice. Counting
    /// begins anew.
    pub fn assert_all(&self, expected: impl Iterator<Item = String>) -> usize {
        let mut counts = std::mem::take(&mut *self.0.lock().unwrap());
        let mut twice = 0;
        for record in expected {
            let copies = counts.remove(&hash_of(&record)).unwrap_or(0);
            assert!((1..=2).contains(&copies), "{copies} copies of {record}");
            twice += usize::from(copies == 2);
        }
        assert!(counts.is_empty(), "{} records arrived that were never emitted", counts.len());
        twice
    }

    /// How many records arrived, copies included.
    pub fn arrived(&self) -> u64 {
        self.0.lock().unwrap().values().map(|copies| u64::from(*copies)).sum()
    }
}

fn hash_of(record: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    hasher.finish()
}
