//! A simulated API: records that become visible over time, pages in any order, scripted faults.

use std::collections::VecDeque;

use bytes::Bytes;
use collector::error::{Error, ErrorType};
use collector::ports::{
    Blob, Fetched, Page, PageRequest, Preparation, Related, RelatedRequest, Source, SourceError, SourceStats,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::clock::TestClock;
use crate::drive::step;
use crate::enriched::{CountFault, Counting, Turns};

/// One record of the simulated API.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// Its event time.
    pub time: Timestamp,
    /// From when on the API shows it.
    pub visible_from: Timestamp,
    /// Its raw text.
    pub text: Bytes,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFault {
    /// The page link is refused (a first page passes).
    LinkExpired,
    /// The query is too heavy.
    TooHeavy,
    /// Come back in so many seconds.
    Throttled(i64),
    /// The collector's own limit has no turn for so many seconds: nothing is sent.
    NoTurn(i64),
    /// A failure for good.
    Fatal,
    /// No page by then.
    OutOfTime,
    /// The window starts too early; the oldest instant accepted, where the API names it.
    StartTooOld(Option<Timestamp>),
    /// The page is empty, but goes on.
    EmptyPage,
    /// The page's link leads to itself.
    LinksToItself,
    /// The page's link leads to the same page under another name.
    SamePageAnew,
    /// The page holds its records twice.
    Doubled,
    /// The page is in reverse order.
    Reversed,
    /// The page comes, and records whose text says `silent` are missing in it, in these words.
    Missing(&'static str),
    /// The API is retired, in these words.
    Retired(&'static str),
}

/// The API as one invocation sees it.
#[derive(Debug)]
pub struct ScriptedSource<'a> {
    /// Everything that is or will be there.
    pub records: &'a [Emitted],
    /// Whether it gives all of them whatever the window, as a snapshot, in the order in which they stand there.
    pub is_list: bool,
    /// Records of one page.
    pub page_size: usize,
    /// The present.
    pub now: Timestamp,
    /// One entry for each of the next requests.
    pub faults: VecDeque<Option<PageFault>>,
    /// Every request so far.
    pub requests: Vec<PageRequest>,
    /// What becomes of the login.
    pub login: Option<SourceError>,
    /// The text that tells this query from another.
    pub fingerprint: String,
    /// What each page has to say to the operator.
    pub warning: Option<String>,
    /// How much of its quota it says it used.
    pub quota_used_percent: Option<u64>,
    /// How much time each page takes, on which clock.
    pub pace: Option<(TestClock, SignedDuration)>,
    /// Answers that asked for patience.
    pub throttled: u64,
    /// What belongs to its records, and what was asked of that.
    pub counting: Counting,
    /// How many requests it lets through, if there is a limit.
    pub turns: Option<Turns>,
    /// What it was told at the beginning; it tells the next invocation the same.
    pub preparation: Option<Preparation>,
}

impl<'a> ScriptedSource<'a> {
    /// The API without faults.
    pub fn new(records: &'a [Emitted], page_size: usize, now: Timestamp) -> Self {
        Self {
            records,
            is_list: false,
            page_size,
            now,
            faults: VecDeque::new(),
            requests: Vec::new(),
            login: None,
            fingerprint: "scripted".to_owned(),
            warning: None,
            quota_used_percent: None,
            pace: None,
            throttled: 0,
            counting: Counting::default(),
            turns: None,
            preparation: None,
        }
    }
}

impl Source for ScriptedSource<'_> {
    async fn prepare(&mut self, preparation: &Preparation) -> Result<(), SourceError> {
        step().await;
        self.preparation = Some(preparation.clone());
        self.login.take().map_or(Ok(()), Err)
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        step().await;
        if let Some(Some(PageFault::NoTurn(seconds))) = self.faults.front() {
            let until = self.now + SignedDuration::from_secs(*seconds);
            self.faults.pop_front();
            return Err(SourceError::Throttled { until });
        }
        self.turns.as_ref().map_or(Ok(()), |turns| turns.take(request.deadline))?;
        self.requests.push(request.clone());
        if let Some((clock, span)) = &self.pace {
            clock.pass(*span);
        }
        let fault = self.faults.pop_front().flatten();
        let failure = Error::new(ErrorType::ApiError, 498, "scripted");
        match fault {
            Some(PageFault::LinkExpired) if request.link.is_some() => {
                return Err(SourceError::LinkExpired("scripted".to_owned()));
            }
            Some(PageFault::TooHeavy) => return Err(SourceError::TooHeavy(failure)),
            Some(PageFault::Throttled(seconds)) => {
                self.throttled += 1;
                return Err(SourceError::Throttled { until: self.now + SignedDuration::from_secs(seconds) });
            }
            Some(PageFault::Fatal) => return Err(SourceError::Fatal(failure)),
            Some(PageFault::OutOfTime) => return Err(SourceError::OutOfTime),
            Some(PageFault::Retired(words)) => return Err(SourceError::Retired(words.to_owned())),
            Some(PageFault::StartTooOld(minimum)) => {
                return Err(SourceError::StartTooOld { minimum, message: "scripted".to_owned() });
            }
            _ => {}
        }
        // A link says behind which record, in order of time, the page starts: late records do not shift it.
        let mut inside: Vec<(usize, &Emitted)> = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.visible_from <= self.now)
            .filter(|(_, record)| {
                self.is_list || (request.window.from <= record.time && record.time <= request.window.to)
            })
            .collect();
        let order = |record: &Emitted| if self.is_list { 0 } else { record.time.as_microsecond() };
        inside.sort_by_key(|(index, record)| (order(record), *index));
        let place = |(index, record): &(usize, &Emitted)| format!("{:020}.{index:06}", order(record));
        let mut rest: Vec<_> = match &request.link {
            Some(link) => inside.into_iter().filter(|entry| place(entry) > *link).collect(),
            None => inside,
        };
        if fault == Some(PageFault::EmptyPage) {
            // `!` sorts before every digit: the same place under another name.
            let next = Some(format!("{}!", request.link.clone().unwrap_or_default()));
            return Ok(Page { next, ..Page::default() });
        }
        if matches!(fault, Some(PageFault::Missing(_))) {
            rest.retain(|(_, record)| !record.text.windows(6).any(|part| part == b"silent"));
        }
        let has_more = rest.len() > self.page_size;
        rest.truncate(self.page_size);
        let next = match fault {
            Some(PageFault::SamePageAnew) => Some(format!("{}!", request.link.clone().unwrap_or_default())),
            Some(PageFault::LinksToItself) => request.link.clone().or(Some(String::new())),
            _ if has_more => rest.last().map(place),
            _ => None,
        };
        let mut records: Vec<Bytes> = rest.iter().map(|(_, record)| record.text.clone()).collect();
        match fault {
            Some(PageFault::Doubled) => records.extend(records.clone()),
            Some(PageFault::Reversed) => records.reverse(),
            _ => {}
        }
        let missing = match fault {
            Some(PageFault::Missing(words)) => Some(words.to_owned()),
            _ => None,
        };
        step().await;
        let warnings = self.warning.clone().into_iter().collect();
        Ok(Page { records, next, missing, warnings, ..Page::default() })
    }

    /// Its pages name no blobs: there is nothing to fetch.
    fn fetch(&mut self, _blobs: Vec<Blob>, _deadline: Timestamp) {}

    async fn fetched(&mut self, _until: Timestamp) -> Result<Fetched, SourceError> {
        step().await;
        Ok(Fetched::AllEnded)
    }

    async fn related(&mut self, request: &RelatedRequest) -> Result<Related, SourceError> {
        step().await;
        self.turns.as_ref().map_or(Ok(()), |turns| turns.take(request.deadline))?;
        let is_asked_for_patience =
            matches!(self.counting.faults.front(), Some(Some(CountFault::Throttled(_))));
        self.throttled += u64::from(is_asked_for_patience);
        let clock = self.pace.as_ref().map(|(clock, _)| clock);
        let now = clock.map_or(self.now, TestClock::now);
        let answer = self.counting.answer(request, clock, now);
        step().await;
        answer
    }

    fn waits_until(&self) -> Option<Timestamp> {
        self.turns.as_ref()?.next()
    }

    fn memo(&self) -> Map<String, Value> {
        self.preparation.as_ref().map(|told| told.memo.clone()).unwrap_or_default()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn stats(&self) -> SourceStats {
        SourceStats {
            requests: (self.requests.len() + self.counting.asked.len()) as u64,
            throttled: self.throttled,
            quota_used_percent: self.quota_used_percent,
        }
    }
}
