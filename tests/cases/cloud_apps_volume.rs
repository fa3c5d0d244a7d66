//! A day with 50,000 activities: each arrives once, killed in the middle or not, and the process stays small.
//!
//! One in ten is saved hours after it happened, several share a millisecond, and one instant has more than two pages of a
//! scan. Ids are listed twice, with the same content and with another one: content alone decides what is sent.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records::activity_record;
use simulator::tenant::{Addressee, CloudAppsList, Compression, TenantConfig};

use crate::world::cloud_apps_lists::pages;
use crate::world::counted::Counted;
use crate::world::{World, ago, service};

const FUNCTION: &str = "cloud-apps-activities";
const ROWS: usize = 50_000;
/// Rows of a page, as the collector asks for them.
const PAGE: usize = 2_000;
/// One row of so many is another one again, and one its id with another content.
const TWINS_EVERY: usize = 500;
/// The process is killed when it asks for this page.
const KILLED_AT: u64 = 14;
/// Rows that a batch holds at the most.
const BATCH: usize = 20_000;
/// The most memory that a process may take.
const MOST_BYTES: u64 = 128_000_000;
const DEADLINE: Duration = Duration::from_secs(120);

/// So many activities are made up as a whole, others are like one of them.
const KINDS: usize = 60;
/// One row of so many is like those. The others have a few members alone, so that the tenant keeps up.
const WHOLE_EVERY: usize = 4;
/// When those were saved, and when they happened.
const SAVED_MS: i64 = 1_795_555_555_555;
const HAPPENED_MS: i64 = 1_795_444_444_444;

/// An activity that others are like.
struct Kind {
    record: String,
    id: String,
}

fn kinds() -> &'static [Kind] {
    static MADE: OnceLock<Vec<Kind>> = OnceLock::new();
    let instant = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
    MADE.get_or_init(|| {
        let record = |seed| activity_record(seed as u64, instant(HAPPENED_MS), instant(SAVED_MS));
        let id_of =
            |record: &str| serde_json::from_str::<Value>(record).unwrap()["_id"].as_str().unwrap().to_owned();
        (0..KINDS).map(record).map(|record| Kind { id: id_of(&record), record }).collect()
    })
}

/// The day, newest row first.
#[derive(Debug, Clone, Copy)]
struct Day {
    newest: Timestamp,
}

impl Day {
    /// The text of a row.
    fn row(self, index: usize) -> String {
        let original = original(index);
        let saved = self.newest - SignedDuration::from_millis(4_700) * i32::try_from(slot(original)).unwrap();
        let delay = match original % 10 {
            0 => SignedDuration::from_hours(7),
            _ => SignedDuration::from_secs(90),
        };
        let (saved, happened) = (saved.as_millisecond(), (saved - delay).as_millisecond());
        let id = format!("97134000_20892_{original:08x}-0000-4000-8000-{original:012x}");
        let record = if original.is_multiple_of(WHOLE_EVERY) {
            let kind = &kinds()[original / WHOLE_EVERY % KINDS];
            let record =
                kind.record.replace(&kind.id, &id).replace(&SAVED_MS.to_string(), &saved.to_string());
            record.replace(&HAPPENED_MS.to_string(), &happened.to_string())
        } else {
            format!(
                "{{\"_id\":\"{id}\",\"timestamp\":{happened},\"created\":{saved},\"confidenceLevel\":20,\
                 \"eventTypeValue\":\"EVENT_O365_GENERIC\",\"appName\":\"Microsoft SharePoint Online\"}}"
            )
        };
        if index % TWINS_EVERY != 3 {
            return record;
        }
        let changed = record.replace("\"confidenceLevel\":20", "\"confidenceLevel\":30");
        assert_ne!(changed, record);
        changed
    }

    /// Each content once.
    fn distinct(self) -> impl Iterator<Item = String> {
        (0..ROWS).filter(|index| index % TWINS_EVERY != 1).map(move |index| self.row(index))
    }
}

/// The row that this one is again, or itself.
fn original(index: usize) -> usize {
    match index % TWINS_EVERY {
        1 | 3 => index - 1,
        _ => index,
    }
}

/// The instant of a row, counted backwards: three share one, and two of them have many.
fn slot(index: usize) -> usize {
    match index {
        10_000..10_300 => 10_000 / 3,
        20_000..24_500 => 20_000 / 3,
        _ => index / 3,
    }
}

/// How many pages a scan of all rows has: rows at its end that share an instant wait for the next one, unless all do.
fn pages_of_the_scan() -> usize {
    let slots: Vec<usize> = (0..ROWS).map(|index| slot(original(index))).collect();
    let (mut begin, mut count) = (0, 0);
    while begin < ROWS {
        count += 1;
        let rest = &slots[begin..];
        let Some(last) = rest.get(PAGE - 1).filter(|_| rest.len() > PAGE) else { break };
        begin += rest[..PAGE].iter().rposition(|slot| slot != last).map_or(PAGE, |before| before + 1);
    }
    count
}

/// The filters of the committed place.
fn committed_filters(checkpoint: &Value) -> String {
    let link = checkpoint["next_link"].as_str().unwrap_or_else(|| panic!("{checkpoint}"));
    let (_, encoded) = link.split_once("&filters=").unwrap_or_else(|| panic!("{link}"));
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_50000_activities_arrives_once_though_the_process_is_killed_in_the_middle() {
    let begun = Instant::now();
    let config = TenantConfig { compression: Compression::Never, ..TenantConfig::default() };
    let world = World::with(service(FUNCTION), config).await;
    let day = Day { newest: ago(SignedDuration::from_mins(2)) };
    world
        .tenant
        .fill_cloud_apps(world.filtered_list(), ROWS, &(Arc::new(move |index| day.row(index)) as _))
        .unwrap();
    let counted = Counted::default();
    let (_receiver, mut devo) = counted.receiver().await;
    devo["compression"] = json!("none");
    let start = ago(SignedDuration::from_hours(24)).to_string();
    world.store_secrets(&world.document_with(&json!({"start_time_in_utc": start})), &devo);
    println!("made in {:?}", begun.elapsed());

    let process = world.process().await;
    let killer = process.killer();
    world.tenant.on_request(move |seen| {
        if seen.addressee == Addressee::CloudApps(CloudAppsList::Activities) && seen.nth == KILLED_AT {
            killer.kill();
        }
    });
    world.invoke(&process, &json!({}), DEADLINE).await;
    process.ended().await;
    world.tenant.on_request(|_| {});
    let arrived = counted.arrived();
    world.table.let_leases_end().await;
    let filters = committed_filters(&world.table.checkpoint().await.unwrap());
    let before = pages(&world);
    assert_eq!(before.len() as u64, KILLED_AT);
    let gone_on_at = before.iter().position(|seen| seen.option("filters") == Some(&filters)).unwrap();
    assert!((3..before.len()).contains(&gone_on_at), "{gone_on_at}: more than a batch is lost");

    let process = world.process().await;
    let answer = world.invoke(&process, &json!({}), DEADLINE).await.answer();
    assert_eq!((&answer["status"], &answer["windows"]), (&json!("up_to_date"), &json!(1)), "{answer}");
    let first_peak = process.peak_memory();
    let asked = pages(&world).len() - before.len();
    assert_eq!(
        gone_on_at + asked,
        pages_of_the_scan(),
        "pages, those that were asked for twice counted once"
    );
    let twice = counted.assert_all(day.distinct());
    assert!(twice <= BATCH, "{twice} rows came twice");
    process.ask_to_end();
    process.ended().await;

    let process = world.process().await;
    let second = world.invoke(&process, &json!({"force": true}), DEADLINE).await.answer();
    assert_eq!((&second["status"], &second["delivered"]), (&json!("up_to_date"), &json!(0)), "{second}");
    // The look-back of a quarter of an hour, which is one page.
    assert!((500..PAGE as u64).contains(&second["received"].as_u64().unwrap()), "{second}");
    assert_eq!((pages(&world).len() - before.len() - asked, counted.arrived()), (1, 0));
    let second_peak = process.peak_memory();
    println!(
        "{arrived} had arrived at the kill, {twice} came twice, {} + {asked} pages, peaks {first_peak} and {second_peak} \
         bytes, {:?}",
        before.len(),
        begun.elapsed()
    );
    assert!(first_peak.max(second_peak) <= MOST_BYTES, "{first_peak} and {second_peak} bytes");
    world.close().await;
}
