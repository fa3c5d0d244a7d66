//! Lists in no order that change while they are read, in pages of any size.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const FROM: i64 = 1_763_632_800;

fn window(seconds: i64) -> Window {
    let from = Timestamp::from_second(FROM).unwrap();
    Window { from, to: from + SignedDuration::from_secs(seconds) }
}

fn rows(names: &[&str]) -> Vec<Bytes> {
    names.iter().map(|name| Bytes::from((*name).to_owned())).collect()
}

/// A record as the API holds it.
#[derive(Debug, Clone)]
struct Record {
    name: u32,
    /// Milliseconds from the window's start.
    time: i64,
    is_new: bool,
}

impl Record {
    fn text(&self) -> Bytes {
        Bytes::from(format!("{}:{}", self.name, self.time))
    }
}

/// What happens to the list before a request.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    /// A record, by its place in the list, gets a time behind the slice at hand.
    Leaves {
        index: usize,
        later: i64,
    },
    /// A new one comes, anywhere.
    Comes {
        index: usize,
        time: i64,
    },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Nothing),
        2 => (any::<usize>(), 1..20_000_i64).prop_map(|(index, later)| Change::Leaves { index, later }),
        2 => (any::<usize>(), 0..16_000_i64).prop_map(|(index, time)| Change::Comes { index, time }),
    ]
}

struct List {
    records: Vec<Record>,
    cuts: Vec<usize>,
    links: Vec<bool>,
}

impl List {
    fn page(&self, left: &Slices, request: usize) -> (Vec<Record>, ApiLink) {
        let slice = left.slice();
        let is_inside = |record: &&Record| {
            let time = window(0).from + SignedDuration::from_millis(record.time);
            slice.from <= time && time <= slice.to
        };
        let matching: Vec<Record> = self.records.iter().filter(is_inside).cloned().collect();
        let begin = usize::try_from(left.skip()).unwrap().min(matching.len());
        let end = (begin + self.cuts[request % self.cuts.len()]).min(matching.len());
        let has_link = end < matching.len() && self.links[request % self.links.len()];
        (matching[begin..end].to_vec(), if has_link { ApiLink::Given } else { ApiLink::None })
    }

    fn apply(&mut self, change: &Change, left: &Slices) {
        let length = self.records.len();
        match *change {
            Change::Leaves { index, later } if length > 0 => {
                let record = &mut self.records[index % length];
                let end = (left.slice().to.as_second() - FROM) * 1000;
                record.time = record.time.max(end) + later;
            }
            Change::Comes { index, time } => {
                let name = 1_000 + u32::try_from(length).unwrap();
                self.records.insert(index % (length + 1), Record { name, time, is_new: true });
            }
            Change::Leaves { .. } | Change::Nothing => {}
        }
    }

    /// Walks through the window and gives the names of the records that came, and the number of requests.
    fn read(&mut self, seconds: i64, changes: &[Change]) -> (BTreeSet<u32>, usize) {
        let (mut seen, mut requests) = (BTreeSet::new(), 0);
        let mut left = Slices::of(window(seconds));
        loop {
            let (page, link) = self.page(&left, requests);
            requests += 1;
            assert!(requests < 5_000, "the walk has no end");
            let texts: Vec<Bytes> = page.iter().map(Record::text).collect();
            let step = left.step(&texts, link, SliceBounds::Heeded);
            seen.extend(page[step.known_rows..].iter().map(|record| record.name));
            let Some(next) = step.next else { return (seen, requests) };
            assert!(!next.is_linked(), "what is skipped is heeded");
            let stored = next.mark("https://x.example/api/alerts");
            assert!(stored.len() < 500, "{stored}");
            left = Slices::read(&stored).unwrap();
            assert_eq!(left, next, "{stored}");
            self.apply(changes.get(requests - 1).unwrap_or(&Change::Nothing), &left);
        }
    }
}

fn list(times: &[i64], cuts: &[usize], links: &[bool]) -> List {
    let records = times.iter().enumerate().map(|(index, time)| {
        let name = u32::try_from(index).unwrap();
        Record { name, time: *time, is_new: false }
    });
    List { records: records.collect(), cuts: cuts.to_vec(), links: links.to_vec() }
}

#[test]
fn a_window_that_fits_a_page_costs_two_requests_and_an_empty_one_costs_one() {
    for (times, requests) in [(&[][..], 1), (&[5_000], 2), (&[5_000, 5_000, 0, 3_600_000, 9], 2)] {
        let (seen, made) = list(times, &[500], &[true]).read(3_600, &[]);
        assert_eq!((seen.len(), made), (times.len(), requests), "{times:?}");
    }
}

#[test]
fn a_window_that_does_not_fit_is_read_in_halves() {
    let left = Slices::of(window(3_600));
    let first = left.step(&rows(&["a", "b"]), ApiLink::None, SliceBounds::Heeded).next.unwrap();
    assert_eq!((first.slice(), first.skip()), (window(3_600), 1));
    let step = first.step(&rows(&["b", "c"]), ApiLink::None, SliceBounds::Heeded);
    let halves = step.next.unwrap();
    assert_eq!((step.known_rows, halves.slice(), halves.skip()), (1, window(1_800), 0));
    let second = halves.step(&[], ApiLink::None, SliceBounds::Heeded).next.unwrap();
    assert_eq!(second.slice(), Window { from: window(1_800).to, to: window(3_600).to });
    assert_eq!(second.step(&[], ApiLink::None, SliceBounds::Heeded).next, None);
    // A link says the same at once.
    assert_eq!(left.step(&rows(&["a", "b"]), ApiLink::Given, SliceBounds::Heeded).next, Some(halves));
}

#[test]
fn a_second_is_read_on_by_rows() {
    let left = Slices::of(window(1));
    let first = left.step(&rows(&["a", "b"]), ApiLink::Given, SliceBounds::Heeded).next.unwrap();
    let step = first.step(&rows(&["b", "c", "d"]), ApiLink::None, SliceBounds::Heeded);
    let second = step.next.unwrap();
    assert_eq!((step.known_rows, second.slice(), second.skip()), (1, window(1), 3));
    let end = second.step(&rows(&["d"]), ApiLink::None, SliceBounds::Heeded);
    assert_eq!((end.known_rows, end.next), (1, None));
}

#[test]
fn where_the_last_row_moved_away_the_slice_is_read_again_but_not_for_ever() {
    for seconds in [1, 3_600] {
        let mut left = Slices::of(window(seconds));
        for _ in 0..MOST_REPEATS {
            left = left.step(&rows(&["a", "b"]), ApiLink::None, SliceBounds::Heeded).next.unwrap();
            left = left.step(&[], ApiLink::None, SliceBounds::Heeded).next.unwrap();
            assert_eq!((left.slice(), left.skip()), (window(seconds), 0));
        }
        left = left.step(&rows(&["a", "b"]), ApiLink::None, SliceBounds::Heeded).next.unwrap();
        assert_eq!(left.step(&[], ApiLink::None, SliceBounds::Heeded).next, None);
    }
}

#[test]
fn a_server_that_does_not_heed_skip_is_not_asked_for_ever() {
    let same = rows(&["a", "b", "c"]);
    for seconds in [0, 1, 3_600] {
        let mut left = Slices::of(window(seconds)).step(&same, ApiLink::None, SliceBounds::Heeded).next;
        for _ in 0..=MOST_REPEATS {
            let step = left.unwrap().step(&same, ApiLink::None, SliceBounds::Heeded);
            assert_eq!(step.known_rows, 3);
            left = step.next;
        }
        assert_eq!(left, None);
    }
}

#[test]
fn a_lone_row_is_not_asked_for_again_and_again() {
    for seconds in [0, 1, 3_600] {
        let one = rows(&["a"]);
        let behind = Slices::of(window(seconds)).step(&one, ApiLink::None, SliceBounds::Heeded).next.unwrap();
        assert_eq!((behind.slice(), behind.skip()), (window(seconds), 1));
        let step = behind.step(&one, ApiLink::None, SliceBounds::Heeded);
        assert_eq!((step.known_rows, step.next), (1, None), "{seconds}");
    }
}

/// A server that takes its own ways, over a list in the order of time.
#[derive(Debug, Clone, Copy)]
struct Rude {
    page: usize,
    heeds_skip: bool,
    heeds_start: bool,
    heeds_end: bool,
    /// Links with a token of its own, as long as there is more.
    gives_links: bool,
}

impl Rude {
    /// Reads the seconds of the window in which there is a record, and gives how many came and the requests for them.
    fn read(self, times: &[i64], seconds: i64) -> (BTreeSet<usize>, usize) {
        let (mut seen, mut requests) = (BTreeSet::new(), 0);
        let mut left = Slices::of(window(seconds));
        let (mut link_from, mut link_to, mut token) = (0, 0, 0);
        loop {
            requests += 1;
            assert!(requests < 2_000, "{self:?} is asked for ever");
            let slice = left.slice();
            let (from, to, begin) = match left.is_linked() {
                true => (link_from, link_to, token),
                false => {
                    let skip = usize::try_from(left.skip()).unwrap();
                    let begin = if self.heeds_skip { skip } else { 0 };
                    (slice.from.as_second() - FROM, slice.to.as_second() - FROM, begin)
                }
            };
            let is_given = |time: i64| (!self.heeds_start || from <= time) && (!self.heeds_end || time <= to);
            let all: Vec<usize> = (0..times.len()).filter(|row| is_given(times[*row])).collect();
            let page: Vec<usize> = all.iter().copied().skip(begin).take(self.page).collect();
            let more = begin + page.len() < all.len() && self.gives_links;
            (link_from, link_to, token) = (from, to, begin + page.len());
            let is_outside = |row: &&usize| {
                !(slice.from.as_second()..=slice.to.as_second()).contains(&(FROM + times[**row]))
            };
            let bounds = match page.iter().filter(is_outside).count() * 2 > page.len() {
                true => SliceBounds::Ignored,
                false => SliceBounds::Heeded,
            };
            let texts: Vec<Bytes> = page.iter().map(|row| Bytes::from(row.to_string())).collect();
            let step = left.step(&texts, if more { ApiLink::Given } else { ApiLink::None }, bounds);
            seen.extend(&page[step.known_rows..]);
            let Some(next) = step.next else { return (seen, requests) };
            let stored = next.mark("https://x.example/api/alerts?token");
            left = Slices::read(&stored).unwrap();
            assert_eq!(left, next, "{stored}");
        }
    }
}

#[test]
fn a_server_that_heeds_not_all_that_is_asked_gives_all_in_few_requests() {
    let day = 86_400;
    let spread: Vec<i64> = (0..300).map(|row| row * 280).collect();
    let at_once = vec![40_000; 95];
    let lone = vec![40_000];
    for times in [&spread, &at_once, &lone, &vec![]] {
        for choice in 0..16_u8 {
            let rude = Rude {
                page: 10,
                heeds_skip: choice & 1 > 0,
                heeds_start: choice & 2 > 0,
                heeds_end: choice & 4 > 0,
                gives_links: choice & 8 > 0,
            };
            // Without either there is no way behind the first page of a list.
            let is_reachable = rude.heeds_skip || rude.gives_links || times.len() < rude.page;
            let (seen, requests) = rude.read(times, day);
            assert!(
                seen.len() == times.len() || !is_reachable,
                "{rude:?}: {} of {}",
                seen.len(),
                times.len()
            );
            let pages = times.len().div_ceil(rude.page);
            assert!(requests <= 5 * pages + 90, "{rude:?}: {requests} requests for {pages} pages");
        }
    }
}

#[test]
fn the_deepest_stack_of_slices_is_a_short_link() {
    let mut left = Slices::of(window(180 * 86_400));
    while left.slice().to.as_second() - left.slice().from.as_second() > SHORTEST {
        left = left.step(&rows(&["a"]), ApiLink::Given, SliceBounds::Heeded).next.unwrap();
    }
    left = left.step(&rows(&["a", "b"]), ApiLink::None, SliceBounds::Heeded).next.unwrap();
    let stored = left.mark("https://x.example/api/alerts");
    assert!(stored.len() < 250, "{} bytes: {stored}", stored.len());
    assert_eq!(Slices::read(&stored), Some(left));
}

#[test]
fn a_link_that_is_none_of_ours_is_not_read() {
    for fragment in
        ["", "#", "#slices=", "#slices=1", "#slices=1.-2", "#slices=1.x", "#slices=1.2&skip=x", "#from=1"]
    {
        assert_eq!(Slices::read(&format!("https://x.example/api/alerts{fragment}")), None, "{fragment}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_record_that_is_there_all_the_time_is_given(
        times in prop::collection::vec(prop_oneof![0..16_000_i64, 3_000..3_010_i64, Just(7_000)], 0..40),
        cuts in prop::collection::vec(2_usize..12, 1..6),
        links in prop::collection::vec(any::<bool>(), 1..4),
        seconds in prop::sample::select(vec![0, 1, 2, 7, 16]),
        changes in prop::collection::vec(change(), 0..12),
    ) {
        // An anchor is looked for three times in a slice; where more changes than that between so few requests, the next
        // window reads it again.
        let mut moves = 0;
        let changes: Vec<Change> = changes.into_iter().map(|change| {
            moves += u8::from(!matches!(change, Change::Nothing));
            if moves > MOST_REPEATS { Change::Nothing } else { change }
        }).collect();
        let mut list = list(&times, &cuts, &links);
        let (seen, _) = list.read(seconds, &changes);
        for record in list.records.iter().filter(|record| !record.is_new && record.time <= seconds * 1000) {
            prop_assert!(seen.contains(&record.name), "{record:?} is missing");
        }
    }

    #[test]
    fn a_list_that_rests_is_read_whole_in_pages_of_any_size(
        times in prop::collection::vec(0..4_000_i64, 0..30),
        cut in 1_usize..12,
        links in prop::collection::vec(any::<bool>(), 1..4),
        seconds in 0_i64..5,
    ) {
        let (seen, _) = list(&times, &[cut], &links).read(seconds, &[]);
        prop_assert_eq!(seen.len(), times.iter().filter(|time| **time <= seconds * 1000).count());
    }
}
