//! Anything at any time: ticks, backfills, dry runs, slow pages, faults of every port and crashes, in an order that a seed
//! chooses. Whatever happened, in the end every record was committed as delivered exactly once.

use collector::report::Status;
use jiff::SignedDuration;
use testing::dice::Dice;
use testing::site::{Site, Visit, record, thing};
use testing::source::PageFault;
use testing::store::WriteFault;

/// How many worlds are tried.
const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 400 };
const START: &str = "2026-11-20T00:00:00Z";

fn page_fault(dice: &mut Dice) -> PageFault {
    let faults = [
        PageFault::LinkExpired,
        PageFault::TooHeavy,
        PageFault::Throttled(90),
        PageFault::Fatal,
        PageFault::OutOfTime,
        PageFault::EmptyPage,
        PageFault::LinksToItself,
        PageFault::Doubled,
        PageFault::Reversed,
    ];
    faults[dice.below(faults.len())]
}

fn write_fault(dice: &mut Dice) -> WriteFault {
    [WriteFault::HappensSilently, WriteFault::VanishesSilently, WriteFault::Refused][dice.below(3)]
}

fn any_visit(site: &Site, dice: &mut Dice) -> Visit {
    let base = match dice.below(8) {
        0 => {
            let to = site.now();
            let from = to - SignedDuration::from_secs(60 + 600 * i64::try_from(dice.below(30)).unwrap());
            Visit::backfill(&from.to_string(), &to.to_string(), false)
        }
        1 => Visit::backfill(START, "2026-11-20T01:00:00Z", false),
        2 => Visit::dry(),
        3 | 4 => Visit::forced(),
        _ => Visit::default(),
    };
    Visit {
        pages: (0..6).map(|_| dice.sometimes(4).then(|| page_fault(dice))).collect(),
        breaks: (0..3).map(|_| dice.sometimes(6).then(|| dice.below(8))).collect(),
        writes: (0..4).map(|_| dice.sometimes(6).then(|| write_fault(dice))).collect(),
        failing_reads: (0..3).map(|_| dice.sometimes(12)).collect(),
        query: dice.sometimes(20).then_some("another"),
        seconds_per_page: [0, 0, 7, 25][dice.below(4)],
        loses_lease: dice.sometimes(15),
        ..base
    }
}

/// New records of the last minutes, now and then one that comes late or has no time.
fn emit(site: &mut Site, dice: &mut Dice, number: &mut usize) {
    for _ in 0..dice.below(5) {
        *number += 1;
        let late = i64::try_from(dice.below(40)).unwrap() * 60;
        let time = site.now() - SignedDuration::from_secs(late);
        let id = format!("{number}");
        site.records.push(if dice.sometimes(6) {
            record(&format!("{{\"id\":\"{id}\"}}"), time)
        } else {
            thing(&id, &time.to_string())
        });
    }
}

fn delivered(site: &Site) -> u64 {
    let carried = site.checkpoint().get("ledger_carry").cloned().unwrap_or_default();
    let waiting: u64 = carried
        .as_object()
        .map(|hours| hours.values().filter_map(|hour| hour["delivered"].as_u64()).sum())
        .unwrap_or(0);
    let booked = site.rows_of("ledger#").into_iter().filter_map(|row| row.fields.get("delivered")?.as_u64());
    waiting + booked.sum::<u64>()
}

#[test]
fn whatever_happens_every_record_is_delivered_and_committed_once() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut site = Site::new("2026-11-20T02:00:00Z");
        site.settings.start_time = Some(START.parse().unwrap());
        site.settings.lookback = SignedDuration::from_hours(3);
        site.settings.window_max =
            SignedDuration::from_secs(600 + 600 * i64::try_from(dice.below(60)).unwrap());
        site.page_size = 1 + dice.below(5);
        let mut number = 0;
        for _ in 0..40 {
            emit(&mut site, &mut dice, &mut number);
            let steps = if dice.sometimes(5) { dice.below(60) } else { 1_000_000 };
            let visit = any_visit(&site, &mut dice);
            site.visit_until(visit, steps);
            site.pass(i64::try_from(dice.below(200)).unwrap());
            if dice.sometimes(4) {
                site.new_process();
            }
        }
        // Nothing goes wrong any more: leases end, patience is over, backfills are gone on with.
        site.patience = 600;
        for _ in 0..12 {
            site.pass(610);
            let status = site.tick().status();
            assert!(matches!(status, Status::UpToDate), "seed {seed}: {status:?}");
        }
        let arrived = site.arrived();
        assert_eq!(arrived.len(), site.records.len(), "seed {seed}: something is lost");
        assert_eq!(delivered(&site), site.records.len() as u64, "seed {seed}: something was committed twice");
        assert!(site.rows_of("request#").iter().all(|row| row.fields["complete"] == true), "seed {seed}");
        assert!(site.store.usage().3 <= 100, "seed {seed}");
    }
}
