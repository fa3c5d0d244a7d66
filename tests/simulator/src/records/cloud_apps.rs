//! Inventories and alerts of Defender for Cloud Apps: alerts, entities, ranges of IP addresses, files.
//!
//! Instants are written in three ways, as the API does it: whole epoch milliseconds, epoch milliseconds with a fraction,
//! and ISO 8601. Numbers are texts here and there, enumerations are pairs, and what is not known is null or not there.

use jiff::{SignedDuration, Timestamp};

use super::cloud_apps_activity::activity_record;
use super::content::{APPLICATIONS, CITIES, DISPLAY_NAMES, Dice};
use super::time_text;
use crate::tenant::CloudAppsList;

/// The tenant's number in Defender for Cloud Apps, of all generated records.
pub(super) const TENANT_NUMBER: u64 = 97_134_000;

/// A record for that list of Defender for Cloud Apps. Alerts are open; an activity was saved at `time`, up to four
/// hours after it happened.
pub fn cloud_apps_record(list: CloudAppsList, seed: u64, time: Timestamp) -> String {
    match list {
        CloudAppsList::Activities => {
            let seconds = 60 + Dice::new(seed, "activity delay").below(4 * 3_600);
            let delay = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default());
            activity_record(seed, time.saturating_sub(delay).unwrap_or(time), time)
        }
        CloudAppsList::Alerts => alert(seed, time, None, 0),
        CloudAppsList::Entities => entity(seed, time),
        CloudAppsList::Subnet => subnet(seed, time),
        CloudAppsList::Files => file(seed, time),
    }
}

/// The alert of that seed and time after somebody has resolved it. Other revisions differ in comment and resolution.
pub fn cloud_apps_alert_resolved(
    seed: u64,
    time: Timestamp,
    resolved_at: Timestamp,
    revision: u32,
) -> String {
    alert(seed, time, Some(resolved_at), revision)
}

fn alert(seed: u64, time: Timestamp, resolved_at: Option<Timestamp>, revision: u32) -> String {
    let mut dice = Dice::new(seed, "cloud apps alert");
    let (id, context, policy) = (object_id(seed, "alert"), dice.guid(), object_id(dice.throw(), "policy"));
    let name = dice.one_of(DISPLAY_NAMES);
    let title = dice.one_of(&["Impossible travel", "Mass download", "Honeytoken activity", "File shared"]);
    let description = match dice.below(3) {
        0 => format!("File policy '{title}' __siteIcon__ was matched by '<b>{name}<\\/b>'"),
        1 => format!("{name} performed 11 unusual activities. <br\\/>Technique: T1087"),
        _ => String::new(),
    };
    let severity = dice.below(4);
    let kind = 15_728_640 + dice.below(120_000);
    let score = dice.below(100);
    let mut entities = vec![format!(
        "{{\"id\":\"{policy}\",\"label\":\"{title}\",\"policyType\":\"ANOMALY_DETECTION\",\"type\":\"policyRule\"}}"
    )];
    entities.extend((0..dice.below(8)).map(|_| alert_entity(&mut dice)));
    let entities = if seed % 16 == 7 { String::new() } else { entities.join(",") };
    let status = i32::from(resolved_at.is_some());
    let (resolution, comment, user, resolved) = match resolved_at {
        None => (0, "null".to_owned(), "null", "null".to_owned()),
        // Mostly ISO 8601, and now and then a number.
        Some(at) if seed % 5 == 4 => {
            (3 + revision % 3, comment(revision), ANALYST, at.as_millisecond().to_string())
        }
        Some(at) => (3 + revision % 3, comment(revision), ANALYST, format!("\"{}\"", time_text(at, 3))),
    };
    format!(
        "{{\"_id\":\"{id}\",\"contextId\":\"{context}\",\"timestamp\":{},\"title\":\"{title}\",\
         \"description\":\"{description}\",\"entities\":[{entities}],\"stories\":[0],\
         \"policy\":{{\"id\":\"{policy}\",\"label\":\"{title}\",\"policyType\":\"ANOMALY_DETECTION\",\"type\":\"policyRule\"}},\
         \"isSystemAlert\":false,\"threatScore\":{score},\"idValue\":{kind},\"severityValue\":{severity},\
         \"statusValue\":{status},\"resolutionStatusValue\":{resolution},\"comment\":{comment},\
         \"handledByUser\":{user},\"resolveTime\":{resolved},\"closeTime\":null,\
         \"URL\":\"https:\\/\\/example.portal.cloudappsecurity.com\\/#\\/alerts\\/{id}\"}}",
        time.as_millisecond()
    )
}

const ANALYST: &str = "\"analyst@example.com\"";

fn comment(revision: u32) -> String {
    format!("\"closed, step {revision}\"")
}

/// One entity of an alert: an account, a user, an address, a service, a device, a file or a country.
fn alert_entity(dice: &mut Dice) -> String {
    let (id, name) = (dice.guid(), dice.one_of(DISPLAY_NAMES));
    let number = dice.below(40);
    match dice.below(7) {
        0 => format!(
            "{{\"entityType\":2,\"id\":\"{id}\",\"inst\":0,\"label\":\"{name}\",\"pa\":\"user{number}@example.com\",\
             \"saas\":11161,\"type\":\"account\",\"em\":null}}"
        ),
        1 => format!("{{\"id\":\"user{number}@example.com\",\"label\":\"{name}\",\"type\":\"user\"}}"),
        2 => {
            let address = dice.address();
            format!(
                "{{\"id\":\"{address}\",\"label\":\"{address}\",\"type\":\"ip\",\"triggeredAlert\":false}}"
            )
        }
        3 => {
            let application = dice.one_of(APPLICATIONS);
            format!("{{\"id\":{},\"label\":\"{application}\",\"type\":\"service\"}}", 11_161 + number)
        }
        4 => format!(
            "{{\"entityRole\":\"Related\",\"id\":\"{id}\",\"label\":\"DC{number}\",\"type\":\"device\"}}"
        ),
        5 => format!("{{\"id\":\"{id}|{id}\",\"label\":\"image (2).png\",\"type\":\"file\"}}"),
        _ => {
            let (_, _, country, _, _) = dice.one_of(CITIES);
            format!("{{\"id\":\"{country}\",\"label\":\"{country}\",\"type\":\"country\"}}")
        }
    }
}

/// A user or an account. `time` is when it was seen last; every fourth one never was, every eighth has no such member.
fn entity(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "cloud apps entity");
    let (id, object, group) = (dice.guid(), object_id(seed, "entity"), object_id(dice.throw(), "group"));
    let name = dice.one_of(DISPLAY_NAMES);
    let last_seen = match seed % 8 {
        0 | 4 => "\"lastSeen\":null,".to_owned(),
        1 => String::new(),
        _ => format!("\"lastSeen\":\"{}\",", time_text(time, 0)),
    };
    let is_admin = dice.below(10) == 0;
    let is_external = dice.below(4) == 0;
    let email = if is_external { "null".to_owned() } else { format!("\"user{seed}@example.com\"") };
    let role = if is_admin { "\"Global Administrator\"" } else { "null" };
    let organization = dice.one_of(&["null", "\"Caf\u{e9} staff\"", "\"Servers\""]);
    let (score, status) = (dice.one_of(&["null", "0", "37"]), dice.below(5));
    let day = time.strftime("%Y%m%d");
    format!(
        "{{\"type\":{},\"status\":{status},\"displayName\":\"{name}\",\"id\":\"{id}\",\"_id\":\"{object}\",\
         \"userGroups\":[{{\"_id\":\"{group}\",\"id\":\"0000003b0000000000000000\",\"name\":\"External users\",\
         \"description\":\"Either \\\"guests\\\" or third parties\",\"usersCount\":{}}}],\"identifiers\":[],\"sid\":null,\
         \"appData\":{{\"appId\":11161,\"name\":\"Office 365\",\"saas\":11161,\"instance\":0}},\"isAdmin\":{is_admin},\
         \"isExternal\":{is_external},\"email\":{email},\"role\":{role},\"organization\":{organization},{last_seen}\
         \"domain\":\"example.com\",\"scoreTrends\":{{\"{day}\":{{}}}},\"subApps\":[],\"threatScore\":{score},\
         \"idType\":1,\"isFake\":false,\"ii\":\"11161|0|{id}\",\"actions\":[],\
         \"username\":\"{{\\\"id\\\": \\\"{id}\\\", \\\"saas\\\": 11161, \\\"inst\\\": 0}}\",\"sctime\":{},\
         \"accounts\":[{{\"_id\":\"fa-{object}-12260\",\"i\":\"{id}\",\"ii\":\"11161|0|{id}\",\"inst\":0,\"saas\":12260,\
         \"t\":1,\"dn\":\"{name}\",\"ext\":{is_external},\"s\":{status},\"aliases\":[\"{id}\",\"user{seed}\"],\
         \"isFake\":true,\"pa\":{email},\"em\":{email},\"sublst\":[],\"appData\":{{\"appId\":12260,\
         \"name\":\"Microsoft Azure\"}},\"actions\":[]}}],\"threatScoreHistory\":[]}}",
        1 + dice.below(2),
        dice.below(900),
        time.as_millisecond(),
    )
}

/// A range of IP addresses that was changed at `time`, which is written with a fraction of a millisecond.
fn subnet(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "cloud apps subnet");
    let (id, tag) = (object_id(seed, "subnet"), object_id(dice.throw(), "tag"));
    let (third, fraction) = (dice.below(256), dice.below(10_000));
    let location = match dice.below(2) {
        0 => "null".to_owned(),
        _ => {
            let (city, _, country, latitude, longitude) = dice.one_of(CITIES);
            format!(
                "{{\"name\":\"{city}\",\"latitude\":{latitude},\"longitude\":{longitude},\"countryCode\":\"{country}\",\
                 \"countryName\":\"{city}\"}}"
            )
        }
    };
    // A number in one place, a text in another.
    let tenant =
        if seed.is_multiple_of(2) { TENANT_NUMBER.to_string() } else { format!("\"{TENANT_NUMBER}\"") };
    format!(
        "{{\"_id\":\"{id}\",\"name\":\"range {seed}\",\"subnets\":[{{\"mask\":120,\
         \"address\":\"0000:0000:0000:0000:0000:ffff:cb00:71{third:02x}\",\"originalString\":\"203.0.113.{third}\\/24\"}}],\
         \"location\":{location},\"organization\":\"{}\",\"tags\":[{{\"_id\":\"{tag}\",\"_tid\":{tenant},\
         \"name\":\"existing tag\",\"target\":1,\"type\":0,\"id\":\"{tag}\",\"status\":0}}],\"category\":{},\
         \"lastModified\":{}.{fraction:04},\"_tid\":{tenant}}}",
        dice.one_of(DISPLAY_NAMES),
        1 + dice.below(6),
        time.as_millisecond(),
    )
}

/// A file that was changed at `time`. Enumerations are pairs of number and name.
fn file(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "cloud apps file");
    let (id, folder, list) = (object_id(seed, "file"), dice.guid(), dice.guid());
    let owner = dice.one_of(DISPLAY_NAMES);
    let (kind, extension, media_type) = dice.one_of(&[
        ("[5,\"IMAGE\"]", "jpg", "image\\/jpeg"),
        ("[1,\"DOCUMENT\"]", "docx", "application\\/msword"),
        ("[4,\"TEXT\"]", "txt", "text\\/plain"),
        ("[0,\"OTHER\"]", "bin", "application\\/octet-stream"),
    ]);
    let access = dice.one_of(&["[0,\"PRIVATE\"]", "[1,\"INTERNAL\"]", "[2,\"EXTERNAL\"]", "[3,\"PUBLIC\"]"]);
    let status = dice.one_of(&["[0,\"EXISTS\"]", "[0,\"EXISTS\"]", "[1,\"TRASHED\"]"]);
    let age = SignedDuration::from_hours(i64::try_from(dice.below(9_000)).unwrap_or_default());
    let created = time.saturating_sub(age).unwrap_or(time).as_millisecond();
    let size = dice.below(90_000_000);
    let name = format!("report {seed}.{extension}");
    let snapshot = time_text(time, 3);
    format!(
        "{{\"_id\":\"{id}\",\"_tid\":{TENANT_NUMBER},\"appId\":20892,\"id\":\"{folder}|{list}\",\
         \"alternateLink\":\"https:\\/\\/example.sharepoint.com\\/sites\\/HDB\\/{name}\",\
         \"collaborators\":[{{\"id\":\"HDB Owners\",\"name\":\"HDB Owners\",\"role\":1,\"accessLevel\":1,\"type\":2}}],\
         \"createdDate\":{created},\"driveId\":\"{folder}\",\"effectiveParents\":[\"{folder}\",\"{list}\"],\"emails\":[],\
         \"externalShares\":[],\"facl\":1,\"fileAccessLevel\":{access},\"fileExtension\":\"{extension}\",\
         \"filePath\":\"\\/sites\\/HDB\\/{name}\",\"fileSize\":{size},\"fileStatus\":{status},\"fileType\":{kind},\
         \"fstat\":0,\"ftype\":5,\"groupIds\":[\"\\/sites\\/HDB|3\"],\"groups\":[\"HDB Owners\"],\"instId\":0,\
         \"isFolder\":false,\"isForeign\":false,\"listId\":\"{list}\",\"mimeType\":\"{media_type}\",\
         \"modifiedDate\":{},\"name\":\"{name}\",\"name_l\":\"{name}\",\"noGovernance\":false,\"ownerExternal\":false,\
         \"ownerName\":\"{owner}\",\"parentId\":\"{folder}\",\"parentIds\":[\"{folder}\"],\"saasId\":20892,\"scanVersion\":4,\
         \"sharepointItem\":{{\"Author\":{{\"Email\":\"\",\"LoginName\":\"SHAREPOINT\\\\system\",\"Title\":\"{owner}\",\
         \"externalUser\":false}},\"UniqueId\":\"{list}\",\"hasUniqueRoleAssignments\":false}},\
         \"siteCollection\":\"\\/sites\\/HDB\",\"sitePath\":\"\\/sites\\/HDB\",\"snapshotLastModifiedDate\":\"{snapshot}\",\
         \"unseenScans\":0,\"originalId\":\"{id}\",\"dlpScanResults\":[],\"fTags\":[],\"enriched\":true,\
         \"display_collaborators\":[],\"appName\":\"Microsoft SharePoint Online\",\"actions\":[]}}",
        time.as_millisecond(),
    )
}

/// What the API calls most of its records: 24 hexadecimal digits.
pub(super) fn object_id(seed: u64, what: &str) -> String {
    let mut dice = Dice::new(seed, what);
    format!("5f{:016x}{:06x}", dice.throw(), dice.throw() >> 40)
}
