//! Lists in no order that change while they are read, in pages of any size, by scans that break off.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const FROM: i64 = 1_763_632_800_000;

fn window(seconds: i64) -> Window {
    let from = Timestamp::from_millisecond(FROM).unwrap();
    Window { from, to: from + SignedDuration::from_secs(seconds) }
}

fn rows(count: u32) -> Vec<Bytes> {
    (0..count).map(|name| Bytes::from(name.to_string())).collect()
}

fn seen(rows: &[Bytes]) -> Seen<'_> {
    Seen {
        rows,
        has_more: true,
        total: None,
        next_filters: None,
        is_inside: true,
        limit: MOST_ROWS,
        reading: Reading::Pages,
    }
}

/// What happens to the list before a request.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    /// A record, by its place in the list, gets a time behind the part at hand.
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
        2 => (any::<usize>(), 2..20_000_i64).prop_map(|(index, later)| Change::Leaves { index, later }),
        2 => (any::<usize>(), 0..16_000_i64).prop_map(|(index, time)| Change::Comes { index, time }),
    ]
}

/// How the API answers.
#[derive(Debug, Clone, Copy)]
struct Manners {
    page: usize,
    counts: bool,
    /// A scan breaks off behind so many pages; none where there is no scan.
    scan: Option<usize>,
}

struct List {
    /// Names and milliseconds behind the window's start.
    records: Vec<(u32, i64)>,
    manners: Manners,
}

impl List {
    /// Reads a window of so many seconds; gives the names that came, what was cut, and the number of requests.
    fn read(&mut self, seconds: i64, changes: &[Change]) -> (BTreeSet<u32>, usize, usize) {
        let (mut names, mut cuts, mut requests) = (BTreeSet::new(), 0, 0);
        let mut left = Parts::of(window(seconds), 0);
        loop {
            let (from, to) = left.ends();
            let is_scanned = self.manners.scan.is_some() && !matches!(left.place, Place::Behind { .. });
            let mut matching: Vec<(u32, i64)> = self
                .records
                .iter()
                .filter(|(_, time)| (from..=to).contains(&(FROM + time)))
                .copied()
                .collect();
            if is_scanned {
                // A scan has an order of its own.
                matching.reverse();
            }
            let scanned = match &left.place {
                Place::Scan { filters, .. } => filters.split('"').nth(1).unwrap().parse().unwrap(),
                Place::Start | Place::Behind { .. } => 0,
            };
            let begin = usize::try_from(left.skip()).unwrap().max(scanned).min(matching.len());
            let end = (begin + self.manners.page).min(matching.len());
            let page: Vec<Bytes> = matching[begin..end]
                .iter()
                .map(|(name, time)| Bytes::from(format!("{name}:{time}")))
                .collect();
            names.extend(matching[begin..end].iter().map(|(name, _)| *name));
            let has_more = end < matching.len();
            let scans = self.manners.scan.filter(|pages| is_scanned && end < pages * self.manners.page);
            let next_filters = scans.filter(|_| has_more).map(|_| format!("{{\"{end}\":0}}"));
            requests += 1;
            assert!(requests < 20_000, "the walk has no end");
            let step = left.step(&Seen {
                has_more,
                total: self.manners.counts.then_some(matching.len() as u64),
                next_filters: next_filters.as_deref(),
                limit: u32::try_from(self.manners.page).unwrap(),
                reading: if is_scanned { Reading::Scan } else { Reading::Pages },
                ..seen(&page)
            });
            cuts += usize::from(step.is_cut);
            let Some(next) = step.next else { return (names, cuts, requests) };
            let stored = next.mark("https://x.example/api/v1/files/");
            assert!(stored.len() < 8_000, "{stored}");
            left = Parts::read(&stored).unwrap();
            assert_eq!(left, next, "{stored}");
            self.apply(changes.get(requests - 1).unwrap_or(&Change::Nothing), &left);
        }
    }

    fn apply(&mut self, change: &Change, left: &Parts) {
        let length = self.records.len();
        match *change {
            Change::Leaves { index, later } if length > 0 => {
                let record = &mut self.records[index % length];
                record.1 = record.1.max(left.ends().1 - FROM) + later;
            }
            Change::Comes { index, time } => {
                let name = 1_000_000 + u32::try_from(length).unwrap();
                self.records.insert(index % (length + 1), (name, time));
            }
            Change::Leaves { .. } | Change::Nothing => {}
        }
    }
}

fn list(times: &[i64], manners: Manners) -> List {
    let records = (0..).zip(times.iter().copied()).collect();
    List { records, manners }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_record_that_stays_comes_whatever_changes_beside_it(
        times in prop::collection::vec(prop_oneof![0_i64..16_000, Just(7_000_i64)], 0..300),
        page in 2_usize..120,
        scan in prop::option::of(0_usize..6),
        changes in prop::collection::vec(change(), 0..200),
    ) {
        let mut list = list(&times, Manners { page, counts: true, scan });
        let stayed_from: BTreeSet<(u32, i64)> = list.records.iter().copied().collect();
        // A scan is a view of its own: what moves in it is the API's matter.
        let changes = if scan.is_some() { &[] } else { changes.as_slice() };
        let (names, _, _) = list.read(16, changes);
        let stayed = list.records.iter().filter(|record| stayed_from.contains(record));
        for (name, time) in stayed {
            prop_assert!(names.contains(name), "{name} at {time} was passed over");
        }
    }

    #[test]
    fn without_a_count_nothing_is_lost_either_where_pages_are_full(
        times in prop::collection::vec(prop_oneof![3 => 0_i64..60_000, 1 => Just(7_000_i64)], 0..900),
    ) {
        let mut list = list(&times, Manners { page: 100, counts: false, scan: None });
        let (names, cuts, _) = list.read(60, &[]);
        prop_assert_eq!((names.len(), cuts), (times.len(), 0));
    }
}

#[test]
fn a_long_list_costs_two_requests_a_page_and_four_where_most_of_it_is_one_burst() {
    // Spread evenly, and most of it in one minute of a day.
    let even = |count: i64| (0..count).map(|n| n * 86_400_000 / count).collect::<Vec<_>>();
    let bursts = (0..6_000_i64).map(|n| if n % 4 == 0 { n * 14_400 } else { 40_000_000 + n * 10 });
    for (times, most) in [(even(6_000), 2), (even(50_000), 2), (bursts.collect(), 4)] {
        let mut list = list(&times, Manners { page: 100, counts: true, scan: None });
        let (names, cuts, requests) = list.read(86_400, &[]);
        assert_eq!((names.len(), cuts), (times.len(), 0));
        assert!(requests < most * times.len() / 100, "{requests} requests for {} rows", times.len());
    }
    let mut scanned =
        list(&even(50_000), Manners { page: 2_000, counts: true, scan: Some(usize::MAX / 2_000) });
    assert_eq!(scanned.read(86_400, &[]), ((0..50_000).collect(), 0, 25));
}

#[test]
fn thousands_of_rows_on_one_millisecond_are_read_by_number_and_the_others_are_not() {
    let times: Vec<i64> = (0..1_000).chain([500; 800]).collect();
    let mut list = list(&times, Manners { page: 100, counts: true, scan: None });
    let (names, cuts, requests) = list.read(1, &[]);
    assert_eq!((names.len(), cuts), (1_800, 0));
    assert!(requests < 70, "{requests}");
}

#[test]
fn what_a_page_means_depends_on_where_it_was_asked_for_and_on_what_it_says() {
    let whole = Parts::of(window(8), 0);
    let shortest = Parts { lengths: vec![1, 5], ..whole.clone() };
    let scan = |filters: &str, empty_pages| Place::Scan { filters: filters.to_owned(), empty_pages };
    let scanning = |empty_pages| Parts { place: scan("{\"a\":1}", empty_pages), ..whole.clone() };
    let (none, few, full) = (rows(0), rows(3), rows(100));
    let lengths = |parts: &Parts| parts.lengths.len();
    // Says that there is no more: over, whatever else it says.
    let over = Seen { has_more: false, next_filters: Some("{\"b\":1}"), total: Some(9), ..seen(&few) };
    assert_eq!(whole.step(&over), Step { next: None, is_cut: false });
    assert_eq!(scanning(0).step(&over), Step { next: None, is_cut: false });
    // With filters of the API they lead on, unless they are the same as before or pages stay empty.
    let filtered = |rows| Seen { next_filters: Some("{\"b\":1}"), ..seen(rows) };
    let step = whole.step(&filtered(&few));
    assert_eq!(step.next.unwrap().place, scan("{\"b\":1}", 0));
    assert_eq!(scanning(4).step(&filtered(&none)).next.unwrap().place, scan("{\"b\":1}", 5));
    assert_eq!(scanning(5).step(&filtered(&few)).next.unwrap().place, scan("{\"b\":1}", 0));
    assert_eq!(scanning(5).step(&filtered(&none)), Step { next: None, is_cut: true });
    let again = Seen { next_filters: Some("{\"a\":1}"), ..seen(&full) };
    let parted = scanning(0).step(&again).next.unwrap();
    assert_eq!((lengths(&parted), parted.place), (8, Place::Start));
    // Without any: in parts, as many as the count says; nothing leads on from an empty page, or from one of elsewhere.
    assert_eq!(lengths(&whole.step(&Seen { total: Some(300), ..seen(&full) }).next.unwrap()), 5);
    assert_eq!(lengths(&whole.step(&Seen { total: Some(900_000), ..seen(&full) }).next.unwrap()), 64);
    assert_eq!(whole.step(&seen(&none)), Step { next: None, is_cut: true });
    assert_eq!(whole.step(&Seen { is_inside: false, ..seen(&full) }), Step { next: None, is_cut: true });
    // What is said without ground is looked into once.
    let doubted = whole.step(&seen(&few)).next.unwrap();
    assert_eq!((lengths(&doubted), doubted.is_doubted), (8, true));
    let step = doubted.step(&seen(&few));
    assert_eq!((step.is_cut, lengths(&step.next.unwrap())), (true, 7));
    assert_eq!(lengths(&doubted.step(&seen(&full)).next.unwrap()), 15);
    // A part of a millisecond is read by number, until the same page comes again.
    let behind = shortest.step(&seen(&full)).next.unwrap();
    assert_eq!((behind.skip(), lengths(&behind)), (99, 2));
    // A scan has an order of its own: by number it begins with the first row, though that has the same rows.
    let by_number = shortest.step(&Seen { reading: Reading::Scan, ..seen(&full) }).next.unwrap();
    assert_eq!((by_number.skip(), lengths(&by_number)), (0, 2));
    assert_eq!(by_number.step(&seen(&full)).next.unwrap().skip(), 99);
    assert_eq!(behind.step(&seen(&few)).next.unwrap().skip(), 101);
    let step = behind.step(&seen(&full));
    assert_eq!((step.is_cut, step.next.unwrap().ends()), (true, (FROM + 1, FROM + 6)));
}

#[test]
fn a_link_that_says_something_else_is_none() {
    for fragment in
        ["", "#", "#parts=", "#parts=0", "#parts=0.1", "#parts=x.1.2", "#parts=0.1.-2", "#parts=0.1.2&skip=3"]
    {
        assert_eq!(Parts::read(&format!("https://x.example/{fragment}")), None, "{fragment}");
    }
    for fragment in
        ["#parts=0.1.2&skip=x&page=0", "#parts=0.1.2&filters=%&empty=0", "#parts=0.1.2&filters=e30"]
    {
        assert_eq!(Parts::read(&format!("https://x.example/{fragment}")), None, "{fragment}");
    }
}

#[test]
fn a_burst_on_one_millisecond_is_reached_before_its_page_has_come_so_often_that_it_looks_like_a_circle() {
    // The run loop gives up at 64, and an instant may be the end of two parts in each of two passes.
    for (days, total) in [(1, 101), (1, 128), (7, 101), (7, 500)] {
        let span = window(days * 86_400);
        let burst = span.to.as_millisecond() - 4_321_987;
        let page = rows(MOST_ROWS);
        let (mut at, mut full_pages) = (Some(Parts::of(span, 0)), 0);
        while let Some(parts) = at.filter(|parts| parts.skip() == 0) {
            let (from, to) = parts.ends();
            let is_hit = (from..=to).contains(&burst);
            full_pages += u32::from(is_hit);
            let found = if is_hit { page.as_slice() } else { &[] };
            at = parts.step(&Seen { has_more: is_hit, total: is_hit.then_some(total), ..seen(found) }).next;
        }
        assert!((full_pages - 1) * 4 + 2 < 64, "{days} days, {total} rows: the same page {full_pages} times");
    }
}
