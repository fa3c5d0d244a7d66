//! Activities of Defender for Cloud Apps: what a user did, when it happened, and when the service saved it.
//!
//! Each carries the record that it was made of (`rawDataJson`) and where that came from (`collected`). Names of members
//! differ by case alone in some places; a map that ignores case loses one of each pair.

use jiff::{SignedDuration, Timestamp};

use super::cloud_apps::TENANT_NUMBER;
use super::content::{AGENTS, CITIES, DISPLAY_NAMES, Dice};
use super::time_text;
use crate::tenant::USUAL_TENANT_ID;

/// An activity of 3 to 5 kB that happened at one instant and was saved at another.
pub fn activity_record(seed: u64, happened: Timestamp, saved: Timestamp) -> String {
    let mut dice = Dice::new(seed, "cloud apps activity");
    let (application, application_name) = dice.one_of(&[
        (15_600, "Microsoft OneDrive for Business"),
        (20_892, "Microsoft SharePoint Online"),
        (12_260, "Microsoft Azure"),
        (20_893, "Microsoft Exchange Online"),
    ]);
    let id = format!("{TENANT_NUMBER}_{application}_{}", dice.guid());
    let (user, blob, object, site) = (dice.guid(), dice.throw(), dice.guid(), dice.guid());
    let name = dice.one_of(DISPLAY_NAMES);
    let operation = dice.one_of(&["FilePreviewed", "FileDownloaded", "UserLoggedIn", "MailItemsAccessed"]);
    let (city, region, country, latitude, longitude) = dice.one_of(CITIES);
    let (address, agent) = (dice.address(), dice.one_of(AGENTS));
    let (timestamp, created) = (happened.as_millisecond(), saved.as_millisecond());
    let begun = saved.saturating_sub(SignedDuration::from_millis(90)).unwrap_or(saved).as_millisecond();
    let blob_created = time_text(happened, 7);
    let raw = raw_record(&mut dice, seed, happened, operation);
    let objects = (0..1 + dice.below(3)).map(|_| event_object(&mut dice, seed)).collect::<Vec<_>>().join(",");
    let impersonated = dice.one_of(&["", "\"impersonated\":true,", "\"impersonated\":false,"]);
    let admin = dice.below(6) == 0;
    format!(
        "{{\"_id\":\"{id}\",\"tenantId\":{TENANT_NUMBER},\"aadTenantId\":\"{USUAL_TENANT_ID}\",\"appId\":{application},\
         \"saasId\":{application},\"timestamp\":{timestamp},\"timestampRaw\":{timestamp},\"instantiation\":{begun},\
         \"instantiationRaw\":{begun},\"created\":{created},\"createdRaw\":{created},\"eventType\":233580,\
         \"eventTypeValue\":\"EVENT_O365_GENERIC\",\"eventRouting\":{{\"scubaUnpacker\":false,\"lograbber\":true,\
         \"auditing\":true}},{impersonated}\"adminEvent\":{admin},\"device\":{{\"clientIP\":\"{address}\",\
         \"userAgent\":\"{agent}\",\"countryCode\":\"{country}\"}},\"location\":{{\"countryCode\":\"{country}\",\
         \"city\":\"{city}\",\"regionCode\":\"TA\",\"region\":\"{region}\",\"longitude\":{longitude},\
         \"latitude\":{latitude},\"organizationSearchable\":\"Example Carrier\",\"anonymousProxy\":false,\
         \"isSatelliteProvider\":false,\"category\":0,\"categoryValue\":\"null\"}},\
         \"user\":{{\"userName\":\"user{seed}@example.com\",\"userTags\":[\"5f01dbbc68df27c17aa6ca81\"]}},\
         \"userAgent\":{{\"major\":\"131\",\"family\":\"CHROME\",\"nativeBrowser\":false,\"os\":\"windows\",\
         \"typeName\":\"Browser\",\"version\":\"131.0\",\"deviceType\":\"DESKTOP\",\"browser\":\"CHROME\",\
         \"type\":\"Browser\",\"operatingSystem\":{{\"version\":\"11\",\"name\":\"Windows\",\"family\":\"Windows\"}},\
         \"minor\":\"0\",\"tags\":[\"000000020000000000000000\"],\"name\":\"Chrome\"}},\
         \"internals\":{{\"otherIPs\":[\"{address}\"]}},\"mainInfo\":{{\"eventObjects\":[{objects}],\
         \"rawOperationName\":\"{operation}\",\"prettyOperationName\":\"{operation}\",\
         \"activityResult\":{{\"isSuccess\":true,\"message\":null}},\"type\":\"basic\"}},\"confidenceLevel\":20,\
         \"source\":2,\"lograbberService\":{{\"o365EventGrabber\":true,\"gediEvent\":true}},\"srcAppId\":11161,\
         \"collected\":{{\"o365\":{{\"blobCreated\":\"{blob_created}\",\
         \"blobId\":\"{blob:020}${blob:020}$audit_sharepoint$Audit_SharePoint$emea0029\"}}}},\
         \"resolvedActor\":{{\"id\":\"{user}\",\"saasId\":\"11161\",\"instanceId\":\"0\",\
         \"tags\":[\"5f01dbbc68df27c17aa6ca81\"],\"objType\":\"23\",\"name\":\"{name}\",\"role\":\"4\",\"resolved\":true}},\
         \"uid\":\"{id}\",\"appName\":\"{application_name}\",\"eventTypeName\":\"EVENT_CATEGORY_UNSPECIFIED\",\
         \"classifications\":[],\"entityData\":{{\"0\":{{\"displayName\":\"{name}\",\"id\":{{\"id\":\"user{seed}@example.com\",\
         \"saas\":11161,\"inst\":0}},\"resolved\":true}},\"1\":null,\"2\":{{\"displayName\":\"{name}\",\
         \"id\":{{\"id\":\"{user}\",\"saas\":11161,\"inst\":0}},\"resolved\":true}}}},\
         \"rawDataJson\":{raw},\"description_id\":\"EVENT_DESCRIPTION_BASIC_EVENT\",\
         \"description_metadata\":{{\"target_object\":\"{object}\",\"operation_name\":\"{operation}\",\"colon\":\": \",\
         \"dash\":\"\",\"parent\":\"{site}\"}},\"description\":\"{operation}: &quot;{name}&quot;\",\
         \"genericEventType\":\"ENUM_ACTIVITY_GENERIC_TYPE_BASIC\",\"severity\":\"INFO\",\
         \"level\":\"info\",\"Level\":4,\"eventName\":\"{operation}\",\"EventName\":\"\"}}"
    )
}

fn event_object(dice: &mut Dice, seed: u64) -> String {
    let (id, name) = (dice.guid(), dice.one_of(DISPLAY_NAMES));
    match dice.below(2) {
        0 => format!(
            "{{\"objType\":1,\"role\":3,\"tags\":[],\"name\":\"https:\\/\\/simulated-my.sharepoint.com\\/personal\\/{seed}\",\
             \"id\":\"{id}\",\"serviceObjectType\":\"OneDrive Site Collection\"}}"
        ),
        _ => format!(
            "{{\"objType\":21,\"role\":4,\"tags\":[],\"name\":\"{name}\",\"instanceId\":0,\"resolved\":true,\
             \"saasId\":11161,\"id\":\"{id}\",\"link\":-{}}}",
            dice.below(999_999_999)
        ),
    }
}

/// What the activity was made of. Some are long.
fn raw_record(dice: &mut Dice, seed: u64, happened: Timestamp, operation: &str) -> String {
    let (id, agent, name) = (dice.guid(), dice.one_of(AGENTS), dice.one_of(DISPLAY_NAMES));
    let created = happened.strftime("%Y-%m-%dT%H:%M:%S");
    let property = |index: usize| {
        format!(
            "{{\"Name\":\"Property{index}\",\"NewValue\":\"[\\r\\n  \\\"{name}\\\"\\r\\n]\",\"OldValue\":\"[]\"}}"
        )
    };
    let properties = (0..dice.below(16)).map(property).collect::<Vec<_>>().join(",");
    format!(
        "{{\"CreationTime\":\"{created}\",\"Id\":\"{id}\",\"Operation\":\"{operation}\",\
         \"OrganizationId\":\"{USUAL_TENANT_ID}\",\"RecordType\":6,\"UserKey\":\"i:0h.f|membership|{seed}@live.com\",\
         \"UserType\":0,\"Version\":1,\"Workload\":\"OneDrive\",\"ClientIP\":\"{}\",\
         \"ObjectId\":\"https:\\/\\/simulated-my.sharepoint.com\\/personal\\/{seed}\\/report.docx\",\
         \"UserId\":\"user{seed}@example.com\",\"EventSource\":\"SharePoint\",\"ItemType\":\"File\",\
         \"UserAgent\":\"{agent}\",\"SourceFileExtension\":\"docx\",\"level\":1.50,\"Level\":\"1.5\",\
         \"DataSource\":null,\"ModifiedProperties\":[{properties}]}}",
        dice.address()
    )
}
