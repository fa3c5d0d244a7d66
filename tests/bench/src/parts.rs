//! The parts of the pipeline, each by itself: what must be done to a record, done plainly.
//!
//! Fetching is the HTTP client alone, TLS is rustls alone; in between stand the functions that the pipeline is made of.
//! A part works on a sample of the pages that were served, over and over, until it has seen as many records as the whole:
//! a sample that the caches hold, because in the pipeline each part finds a record where the part before has left it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use collector::memory::{Bucket, Memory};
use collector::message::Messages;
use collector::ports::Event;
use collector::record::{HashKey, plain_string, scan};
use devo::frame::FrameWriter;
use flate2::{Compress, Compression, FlushCompress};
use jiff::{SignedDuration, Timestamp};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::pages::PATH;
use crate::pipeline::{Cost, Order, PAGE_RECORDS, Packing};
use crate::whole::SERVICE;
use crate::{Outcome, cpu, tls};

/// Pages of the sample.
const SAMPLE_PAGES: usize = 2;
/// Records of one stream and one commit.
const BATCH_RECORDS: usize = 13_000;
/// Lines of one gzip member, in bytes, and the level: as the pipeline has them.
const MEMBER_BYTES: usize = 51_200;
const LEVEL: u32 = 2;
/// What is written to a stream at once.
const WRITE_BYTES: usize = 256 * 1024;
const TAG: &str = "cloud.azure.ad.signin.prod.msgraph";

/// The data of the parts and what they cost so far.
pub struct Parts {
    /// In the order of the pipeline.
    pub costs: Vec<Cost>,
    records: usize,
    base_url: String,
    port: u16,
    client: reqwest::Client,
    tls: Arc<ClientConfig>,
    key: HashKey,
    pages: Vec<Bytes>,
    /// The records of the sample.
    sample: Vec<Bytes>,
    /// Those of all records: how many are held decides what it costs to look one up.
    hashes: Vec<(Bucket, u64)>,
    lines: Vec<u8>,
    /// The lines as gzip members, when they are sent so.
    members: Option<Vec<u8>>,
}

impl Parts {
    /// Prepares the data of every part.
    pub fn new(order: &Order) -> Outcome<Self> {
        let page = |number| Bytes::from(order.shape.page(number, &order.api.base_url));
        let pages: Vec<Bytes> = (0..order.shape.pages.min(SAMPLE_PAGES)).map(page).collect();
        let mut sample = Vec::new();
        for page in &pages {
            sample.extend(split(page)?);
        }
        let key = HashKey::from_hex("000102030405060708090a0b0c0d0e0f").ok_or("no key")?;
        let mut hashes = Vec::new();
        for page in (0..order.shape.pages).map(page) {
            hashes.extend(split(&page)?.iter().map(|record| look(record, &key)));
        }
        let mut lines = Vec::new();
        write_lines(&sample, |line| lines.extend_from_slice(line));
        let mut members = Vec::new();
        if order.packing == Packing::Gzip {
            gzip(&lines, &mut members)?;
        }
        Ok(Self {
            costs: Vec::new(),
            records: order.shape.records(),
            base_url: order.api.base_url.clone(),
            port: order.receiver.port,
            client: reqwest::Client::builder().no_proxy().gzip(true).tcp_nodelay(true).build()?,
            tls: tls::client(&order.receiver)?,
            key,
            pages,
            sample,
            hashes,
            lines,
            members: (order.packing == Packing::Gzip).then_some(members),
        })
    }

    /// Bytes of a record.
    pub fn record_bytes(&self) -> f64 {
        self.sample.iter().map(Bytes::len).sum::<usize>() as f64 / self.sample.len() as f64
    }

    /// Bytes sent of each byte of lines.
    pub fn packed(&self) -> f64 {
        self.members.as_ref().map_or(1.0, |members| members.len() as f64 / self.lines.len() as f64)
    }

    /// Measures every part once.
    pub fn round(&mut self, runtime: &Runtime) -> Outcome<()> {
        let fetch = cpu::micros_each(self.records, || runtime.block_on(self.fetch()))?;
        self.note("fetch", fetch);
        let cost = self.repeated(|parts| {
            parts.pages.iter().try_for_each(|page| split(page).map(|records| drop(black_box(records))))
        })?;
        self.note("split", cost);
        let cost = self.repeated(|parts| {
            parts.sample.iter().for_each(|record| _ = black_box(look(record, &parts.key)));
            Ok(())
        })?;
        self.note("hash and pick", cost);
        let cost = cpu::micros_each(self.hashes.len(), || {
            remember(&self.hashes);
            Ok(())
        })?;
        self.note("memory", cost);
        let cost = self.repeated(|parts| {
            let mut chunk: Vec<u8> = Vec::with_capacity(WRITE_BYTES);
            write_lines(&parts.sample, |line| {
                if chunk.len() + line.len() > WRITE_BYTES {
                    chunk.clear();
                }
                chunk.extend_from_slice(line);
            });
            black_box(chunk);
            Ok(())
        })?;
        self.note("message and frame", cost);
        if self.members.is_some() {
            let packed = RefCell::new(Vec::with_capacity(self.lines.len() / 4));
            let cost = self.repeated(|parts| {
                let mut packed = packed.borrow_mut();
                packed.clear();
                gzip(&parts.lines, &mut packed)
            })?;
            self.note("gzip", cost);
        }
        let times = self.records.div_ceil(self.sample.len());
        let cost = cpu::micros_each(times * self.sample.len(), || runtime.block_on(self.send(times)))?;
        self.note("tls", cost);
        Ok(())
    }

    fn note(&mut self, name: &str, micros: f64) {
        match self.costs.iter_mut().find(|cost| cost.name == name) {
            Some(known) => known.rounds.push(micros),
            None => self.costs.push(Cost { name: name.to_owned(), rounds: vec![micros] }),
        }
    }

    /// The cost of work on the sample, done as often as it takes to see as many records as the whole.
    fn repeated(&self, work: impl Fn(&Self) -> Outcome<()>) -> Outcome<f64> {
        let times = self.records.div_ceil(self.sample.len());
        cpu::micros_each(times * self.sample.len(), || (0..times).try_for_each(|_| work(self)))
    }

    /// Every page as the pipeline asks for it, from the first byte to the last.
    async fn fetch(&self) -> Outcome<()> {
        let mut url = Some(format!("{}{PATH}?$filter=none", self.base_url));
        let mut number = 0;
        while let Some(page) = url.take() {
            let mut response = self.client.get(page).send().await?;
            let length = usize::try_from(response.content_length().unwrap_or(0))?;
            let mut body = Vec::with_capacity(length);
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
            }
            number += 1;
            if number * PAGE_RECORDS < self.records {
                url = Some(format!("{}{PATH}?$skiptoken={number}", self.base_url));
            }
            black_box(body);
        }
        Ok(())
    }

    /// The sample's lines so many times, over one stream a batch.
    async fn send(&self, times: usize) -> Outcome<()> {
        let bytes = self.members.as_ref().unwrap_or(&self.lines);
        let times_a_stream = (BATCH_RECORDS / self.sample.len()).max(1);
        let name = ServerName::try_from("127.0.0.1")?;
        for first in (0..times).step_by(times_a_stream) {
            let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name.clone(), socket).await?;
            for _ in first..times.min(first + times_a_stream) {
                for chunk in bytes.chunks(WRITE_BYTES) {
                    stream.write_all(chunk).await?;
                }
            }
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await?;
        }
        Ok(())
    }
}

fn split(page: &Bytes) -> Outcome<Vec<Bytes>> {
    Ok(microsoft::records_of(page).map_err(|flaw| format!("a page cannot be split: {flaw}"))?)
}

/// What is looked at of a record: its hash and its event time.
fn look(record: &Bytes, key: &HashKey) -> (Bucket, u64) {
    let scanned = scan(record, key, &[SERVICE.event_time], None);
    let time = scanned.picked.first().copied().flatten().and_then(plain_string);
    (Bucket::of(time.and_then(|text| text.parse().ok())), scanned.hash)
}

fn remember(hashes: &[(Bucket, u64)]) {
    let now = Timestamp::now();
    let mut memory = Memory::new("0".to_owned());
    let buckets: BTreeSet<Bucket> = hashes.iter().map(|(bucket, _)| *bucket).collect();
    for load in memory.loads(&buckets) {
        memory.loaded(&load, Vec::new());
    }
    for batch in hashes.chunks(BATCH_RECORDS) {
        for (bucket, hash) in batch {
            memory.stage(*bucket, *hash, now.as_second());
        }
        let rows = memory.rows(1, now, SignedDuration::from_hours(24));
        memory.committed(&rows);
    }
}

fn write_lines(records: &[Bytes], mut take: impl FnMut(&[u8])) {
    let mut messages = Messages::new(Some("prod"), "1763632800000");
    let mut frames = FrameWriter::new(SERVICE.function);
    let time = Timestamp::UNIX_EPOCH;
    let mut line = Vec::new();
    for record in records {
        line.clear();
        frames.write(&Event { time, tag: TAG, message: messages.write(record, true) }, &mut line);
        take(&line);
    }
}

fn gzip(lines: &[u8], packed: &mut Vec<u8>) -> Outcome<()> {
    let mut packer = Compress::new_gzip(Compression::new(LEVEL), 15);
    for member in lines.chunks(MEMBER_BYTES) {
        packer.reset();
        packed.reserve(member.len() + 1024);
        packer.compress_vec(member, packed, FlushCompress::Finish)?;
    }
    Ok(())
}
