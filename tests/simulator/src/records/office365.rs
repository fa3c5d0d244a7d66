//! Audit records of the Management Activity API: the same frame for all workloads, and a part of each workload's own.
//!
//! CreationTime has no zone, the type of some members changes from workload to workload (a list, or JSON in a string),
//! and ClientIP is spelled in many ways or missing, as in records that people have published.

use std::fmt::Write;

use jiff::Timestamp;

use super::content::{AGENTS, APPLICATIONS, DISPLAY_NAMES, Dice};
use crate::tenant::ContentType;

/// Bytes of a record when nobody says otherwise, about.
const USUAL_BYTES: usize = 1_050;

/// Workload, RecordType and operations of each feed. The last lines of the general feed are not in any published list.
const AZURE_ACTIVE_DIRECTORY: &[(&str, u32, &[&str])] = &[
    ("AzureActiveDirectory", 8, &["Add member to group.", "Update user.", "Reset user password."]),
    ("AzureActiveDirectory", 15, &["UserLoggedIn", "UserLoginFailed"]),
];
const SHAREPOINT: &[(&str, u32, &[&str])] = &[
    ("SharePoint", 6, &["FileAccessed", "FileModified", "FileDownloaded"]),
    ("OneDrive", 6, &["FileSyncDownloadedFull", "FilePreviewed"]),
    ("SharePoint", 14, &["SharingSet", "AnonymousLinkCreated"]),
];
const EXCHANGE: &[(&str, u32, &[&str])] = &[
    ("Exchange", 1, &["Set-Mailbox", "New-InboxRule", "Add-MailboxPermission"]),
    ("Exchange", 50, &["MailItemsAccessed"]),
];
const GENERAL: &[(&str, u32, &[&str])] = &[
    ("MicrosoftTeams", 25, &["TeamsSessionStarted", "MemberAdded"]),
    ("PowerBI", 20, &["ViewReport", "ExportArtifact"]),
    ("SecurityComplianceCenter", 40, &["AlertTriggered", "AlertEntityGenerated"]),
    ("MicrosoftForms", 66, &["ViewForm"]),
    ("Yammer", 22, &["MessageViewed"]),
    ("ThreatIntelligence", 28, &["TIMailData"]),
    ("Copilot", 261, &["CopilotInteraction"]),
    ("Workload Of 2031", 9_041, &["SomethingNew"]),
];
const DLP: &[(&str, u32, &[&str])] = &[
    ("Exchange", 13, &["DlpRuleMatch", "DlpRuleUndo"]),
    ("SharePoint", 11, &["DlpRuleMatch", "DlpInfo"]),
    ("Endpoint", 63, &["DLPRuleMatch"]),
];

/// Spellings of a client's address, `None` for a record without one.
const ADDRESSES: [Option<&str>; 8] = [
    None,
    None,
    Some("203.0.113.7"),
    Some("203.0.113.7:52114"),
    Some("[2001:db8::1f]:443"),
    Some("::ffff:203.0.113.9"),
    Some("<null>"),
    Some(""),
];

/// A record for that feed, about 1.1 kB; the seed chooses its workload.
pub fn office365(content_type: ContentType, seed: u64, time: Timestamp) -> String {
    let choices = match content_type {
        ContentType::AzureActiveDirectory => AZURE_ACTIVE_DIRECTORY,
        ContentType::SharePoint => SHAREPOINT,
        ContentType::Exchange => EXCHANGE,
        ContentType::General => GENERAL,
        ContentType::Dlp => DLP,
    };
    let choice = Dice::new(seed, "workload").one_of(choices);
    record(seed, time, choice, USUAL_BYTES)
}

/// A record of any workload, be it known or not, about 1.1 kB.
pub fn audit_record(seed: u64, time: Timestamp, workload: &str) -> String {
    sized_audit_record(seed, time, workload, USUAL_BYTES)
}

/// The same with at least that many bytes: its extended properties fill it up.
pub fn sized_audit_record(seed: u64, time: Timestamp, workload: &str, least_bytes: usize) -> String {
    let all = [AZURE_ACTIVE_DIRECTORY, SHAREPOINT, EXCHANGE, GENERAL];
    let known = all.into_iter().flatten().find(|(name, _, _)| *name == workload);
    let choice = known.copied().unwrap_or((workload, 9_999, &["Operation"]));
    record(seed, time, choice, least_bytes)
}

fn record(
    seed: u64,
    time: Timestamp,
    (workload, record_type, operations): (&str, u32, &[&str]),
    least_bytes: usize,
) -> String {
    let mut dice = Dice::new(seed, "audit record");
    let (id, organisation, user) = (dice.guid(), "8f6b2e14-5a0c-4d7e-9b3f-2c1d0e9f8a7b", dice.guid());
    let operation = dice.one_of(operations);
    let when = time.strftime("%Y-%m-%dT%H:%M:%S");
    let workload_text = serde_json::Value::from(workload);
    let user_type = dice.one_of(&["0", "2", "\"4\"", "5"]);
    let mut text = format!(
        "{{\"CreationTime\":\"{when}\",\"Id\":\"{id}\",\"Operation\":\"{operation}\",\
         \"OrganizationId\":\"{organisation}\",\"RecordType\":{record_type},\"UserKey\":\"{user}\",\
         \"UserType\":{user_type},\"Version\":1,\"Workload\":{workload_text},\"UserId\":\"user{seed}@example.com\""
    );
    if let Some(address) = dice.one_of(&ADDRESSES) {
        push(&mut text, format_args!(",\"ClientIP\":\"{address}\""));
    }
    if let Some(status) = dice.one_of(&[None, Some("Succeeded"), Some("True"), Some("Failure"), Some("")]) {
        push(&mut text, format_args!(",\"ResultStatus\":\"{status}\""));
    }
    own_part(&mut text, &mut dice, workload);
    extended_properties(&mut text, &mut dice, least_bytes);
    text.push('}');
    text
}

fn own_part(text: &mut String, dice: &mut Dice, workload: &str) {
    let (name, item) = (dice.one_of(DISPLAY_NAMES), dice.guid());
    match workload {
        "AzureActiveDirectory" => push(
            text,
            format_args!(
                ",\"AzureActiveDirectoryEventType\":1,\"ModifiedProperties\":[{{\"Name\":\"Group.DisplayName\",\
                 \"NewValue\":\"\\\"{name}\\\"\",\"OldValue\":\"\"}}],\"Actor\":[{{\"ID\":\"{item}\",\"Type\":2}},\
                 {{\"ID\":\"{name}\",\"Type\":1}}],\"Target\":[],\"TargetContextId\":null,\"SupportTicketId\":\"\""
            ),
        ),
        "SharePoint" | "OneDrive" => push(
            text,
            format_args!(
                ",\"ItemType\":\"File\",\"ListItemUniqueId\":\"{item}\",\"ListBaseType\":1,\"ApplicationDisplayName\":\
                 \"{name}\",\"SiteUrl\":\"https:\\/\\/example.sharepoint.com\\/sites\\/plans\\/\",\"SourceFileName\":\
                 \"Caf\u{e9} \\u2013 notes.docx\",\"HighPriorityMediaProcessing\":false"
            ),
        ),
        "Exchange" => push(
            text,
            format_args!(
                ",\"ExternalAccess\":false,\"Parameters\":[{{\"Name\":\"Identity\",\"Value\":\"{name}\"}},\
                 {{\"Name\":\"AccessRights\",\"Value\":\"FullAccess\\r\\nSendAs\"}}],\"MailboxGuid\":\"{item}\",\
                 \"LogonType\":1,\"OriginatingServer\":\"AM0PR00 (15.20.4200.000)\\u0000\""
            ),
        ),
        _ => push(
            text,
            format_args!(
                ",\"ObjectId\":\"{item}\",\"Data\":\"{{\\\"name\\\":\\\"{}\\\",\\\"score\\\":1.0E2}}\",\
                 \"Score\":1.50,\"Members\":[{{\"DisplayName\":\"{name}\",\"Role\":0}}],\"Detail\":{{}}",
                dice.one_of(APPLICATIONS)
            ),
        ),
    }
}

/// Mostly a list, now and then JSON in a string; as many properties as it takes, the last one as long as it takes.
fn extended_properties(text: &mut String, dice: &mut Dice, least_bytes: usize) {
    let agent = dice.one_of(AGENTS);
    if dice.below(5) == 0 {
        push(
            text,
            format_args!(",\"AdditionalInfo\":\"{{\\\"requestId\\\":\\\"{}\\\",\\\"n\\\":0}}\"", dice.guid()),
        );
    }
    push(text, format_args!(",\"ExtendedProperties\":[{{\"Name\":\"UserAgent\",\"Value\":\"{agent}\"}}"));
    while text.len() + 70 < least_bytes {
        push(text, format_args!(",{{\"Name\":\"CorrelationId\",\"Value\":\"{}\"}}", dice.guid()));
    }
    let missing = least_bytes.saturating_sub(text.len() + 2);
    if missing > 0 {
        push(text, format_args!(",{{\"Name\":\"Note\",\"Value\":\"{}\"}}", "x".repeat(missing)));
    }
    text.push(']');
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = text.write_fmt(part);
}
