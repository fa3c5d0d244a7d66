//! Where events go on-premise: Devo, a relay, the terminal, a file, or several of them.
//!
//! Printed events are one JSON object a line, `{"tag": …, "message": {…}}`; the record's own bytes are spliced in as
//! they are. Nothing is written before `deliver`: a batch that is discarded leaves no trace. Several outputs are proven
//! one after the other, and only when all of them are proven is the batch.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use collector::error::{Error, ErrorType, code};
use collector::outlook::Certificate;
use collector::ports::{CleanEnd, Event, Sink};
use devo::{DevoConfig, DevoSink};
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::config::{OutputPlan, Receiver};

/// How the tags of the collector's own log and metric events begin.
const STORY_TAGS: &str = "devo.collector";

/// The open outputs of one service: each event goes to each of them.
pub struct Outputs {
    each: Vec<Output>,
    certificates: Vec<Certificate>,
}

enum Output {
    /// Devo or a relay, over the network.
    Network(Box<DevoSink>),
    /// A terminal or a file.
    Lines(Lines),
}

impl Outputs {
    /// Opens the outputs of a configuration for one service; `host` becomes HOST of its syslog lines.
    ///
    /// # Errors
    /// InitVariablesError 1 when certificates cannot be used, DeliveryError 601 when the client certificate expired.
    pub fn open(plans: &[OutputPlan], host: &str) -> Result<Self, Error> {
        let open = |plan: &OutputPlan| match &plan.receiver {
            Receiver::Console => {
                Ok(Output::Lines(Lines::new(Target::Writer(Arc::new(Mutex::new(io::stdout()))))))
            }
            Receiver::Network(config) => {
                let config = DevoConfig { host: host.to_owned(), ..config.clone() };
                DevoSink::new(config).map(|sink| Output::Network(Box::new(sink)))
            }
        };
        let each = plans.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { each, certificates: plans.iter().filter_map(OutputPlan::certificate).collect() })
    }

    /// Prints records on any writer, which is flushed at each delivery. The collector's own story is left out.
    pub fn records_to_writer(writer: Arc<Mutex<dyn Write + Send>>) -> Self {
        Self::of_records(Target::Writer(writer))
    }

    /// Appends records to a file, which is made when absent and synced to the disk at each delivery; one process
    /// writes to it at a time. The collector's own story is left out.
    pub fn records_to_file(path: &Path) -> Self {
        Self::of_records(Target::File(path.to_owned()))
    }

    /// Of each output with certificates the one that ends first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// What the operator should know, for example a client certificate that is not valid yet.
    pub fn warnings(&self) -> Vec<String> {
        let of_one = |output: &Output| match output {
            Output::Network(sink) => sink.warnings(),
            Output::Lines(_) => Vec::new(),
        };
        self.each.iter().flat_map(of_one).collect()
    }

    fn of_records(target: Target) -> Self {
        let lines = Lines { story: Story::LeftOut, ..Lines::new(target) };
        Self { each: vec![Output::Lines(lines)], certificates: Vec::new() }
    }
}

impl Sink for Outputs {
    async fn prepare(&mut self) {
        for output in &mut self.each {
            match output {
                Output::Network(sink) => sink.prepare().await,
                Output::Lines(_) => {}
            }
        }
    }

    fn append(&mut self, event: &Event<'_>) -> usize {
        let append_to_one = |output: &mut Output| match output {
            Output::Network(sink) => sink.append(event),
            Output::Lines(lines) => lines.append(event),
        };
        self.each.iter_mut().map(append_to_one).max().unwrap_or(0)
    }

    /// The first failure ends the batch: the outputs after it would only receive it twice.
    async fn deliver(&mut self, deadline: Timestamp) -> Result<CleanEnd, Error> {
        let mut events = 0;
        for index in 0..self.each.len() {
            let delivered = match &mut self.each[index] {
                Output::Network(sink) => sink.deliver(deadline).await,
                Output::Lines(lines) => lines.deliver().await,
            };
            match delivered {
                Ok(end) => events = events.max(end.events),
                Err(failure) => {
                    self.discard();
                    return Err(failure);
                }
            }
        }
        Ok(CleanEnd { events })
    }

    fn discard(&mut self) {
        for output in &mut self.each {
            match output {
                Output::Network(sink) => sink.discard(),
                Output::Lines(lines) => lines.discard(),
            }
        }
    }
}

/// Events as lines of JSON.
struct Lines {
    target: Target,
    story: Story,
    batch: Vec<u8>,
    events: u64,
}

/// Whether the collector's own log events are printed between the records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Story {
    Printed,
    LeftOut,
}

#[derive(Clone)]
enum Target {
    Writer(Arc<Mutex<dyn Write + Send>>),
    File(PathBuf),
}

impl Lines {
    fn new(target: Target) -> Self {
        Self { target, story: Story::Printed, batch: Vec::new(), events: 0 }
    }

    fn append(&mut self, event: &Event<'_>) -> usize {
        // What is left out on purpose counts as delivered: nobody waits for it.
        self.events += 1;
        if self.story == Story::LeftOut && event.tag.starts_with(STORY_TAGS) {
            return 0;
        }
        let before = self.batch.len();
        write_line(&mut self.batch, event);
        self.batch.len() - before
    }

    async fn deliver(&mut self) -> Result<CleanEnd, Error> {
        let events = std::mem::take(&mut self.events);
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(CleanEnd { events });
        }
        let target = self.target.clone();
        let written = tokio::task::spawn_blocking(move || target.write(&batch)).await;
        match written {
            Ok(Ok(())) => Ok(CleanEnd { events }),
            Ok(Err(message)) => Err(Error::new(ErrorType::DeliveryError, code::UNREACHABLE, message)),
            Err(lost) => Err(Error::new(ErrorType::DeliveryError, code::NOT_CLOSED, lost.to_string())),
        }
    }

    fn discard(&mut self) {
        self.batch.clear();
        self.events = 0;
    }
}

impl Target {
    fn write(&self, batch: &[u8]) -> Result<(), String> {
        match self {
            Self::Writer(writer) => {
                let mut open = writer.lock().unwrap_or_else(PoisonError::into_inner);
                open.write_all(batch)
                    .and_then(|()| open.flush())
                    .map_err(|cause| format!("the standard output takes no more events: {cause}"))
            }
            Self::File(path) => append_durably(path, batch).map_err(|cause| {
                format!(
                    "the file {} takes no more events: {cause}; check its folder and free space",
                    path.display()
                )
            }),
        }
    }
}

/// Appends all of the batch or nothing of it.
fn append_durably(path: &Path, batch: &[u8]) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = File::options().create(true).append(true).open(path)?;
    let length_before = file.metadata()?.len();
    if let Err(cause) = file.write_all(batch).and_then(|()| file.sync_all()) {
        // A torn last line would join the next batch's first one.
        file.set_len(length_before)?;
        return Err(cause);
    }
    if is_new {
        sync_folder_of(path)?;
    }
    Ok(())
}

/// A new file is only durable when its folder's entry is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn write_line(batch: &mut Vec<u8>, event: &Event<'_>) {
    batch.extend_from_slice(br#"{"tag":"#);
    batch.extend_from_slice(serde_json::Value::from(event.tag).to_string().as_bytes());
    batch.extend_from_slice(br#","message":"#);
    if serde_json::from_slice::<&RawValue>(event.message).is_ok() {
        batch.extend_from_slice(event.message);
    } else {
        let text = String::from_utf8_lossy(event.message);
        batch.extend_from_slice(serde_json::Value::from(text.as_ref()).to_string().as_bytes());
    }
    batch.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests;
