//! Sign-ins, of people and of workloads.
//!
//! Without event types the record has the shape of v1.0; with them that of beta. Workload sign-ins have no user, no
//! address and no place.

use jiff::Timestamp;

use super::content::{AGENTS, APPLICATIONS, CITIES, DISPLAY_NAMES, Dice};

/// A sign-in, about 1.1 kB (v1.0) or a little more (beta).
pub fn sign_in(seed: u64, time: Timestamp, event_types: &[&str]) -> String {
    sized_sign_in(seed, time, event_types, 0)
}

/// A sign-in of at least that many bytes: conditional-access policies fill it up.
pub fn sized_sign_in(seed: u64, time: Timestamp, event_types: &[&str], least_bytes: usize) -> String {
    let mut dice = Dice::new(seed, "sign-in");
    let is_workload = event_types.iter().any(|kind| matches!(*kind, "servicePrincipal" | "managedIdentity"));
    let is_interactive = event_types.is_empty() || event_types.contains(&"interactiveUser");
    let mut members = vec![
        ("id", text(&dice.guid())),
        ("createdDateTime", text(&dice.time(time))),
        ("appDisplayName", text(dice.one_of(APPLICATIONS))),
        ("appId", text(&dice.guid())),
        ("correlationId", text(&dice.guid())),
        ("clientAppUsed", text(dice.one_of(&["Browser", "Mobile Apps and Desktop clients", ""]))),
        ("conditionalAccessStatus", text(dice.one_of(&["notApplied", "success", "failure"]))),
        ("isInteractive", is_interactive.to_string()),
        ("resourceDisplayName", text("Microsoft Graph")),
        ("resourceId", text("00000003-0000-0000-c000-000000000000")),
        ("status", status(&mut dice)),
        ("riskDetail", text("none")),
        ("riskLevelAggregated", text(dice.one_of(&["none", "low", "hidden"]))),
        ("riskLevelDuringSignIn", text("none")),
        ("riskState", text("none")),
        ("riskEventTypes", "[]".to_owned()),
        ("riskEventTypes_v2", dice.one_of(&["[]", "[\"unfamiliarFeatures\"]"]).to_owned()),
    ];
    members.extend(if is_workload { workload(&mut dice) } else { person(&mut dice, seed) });
    if !event_types.is_empty() {
        members.extend(beta(&mut dice, event_types));
    }
    let others: usize = members.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let wanted = least_bytes.saturating_sub(others);
    members.push(("appliedConditionalAccessPolicies", policies(&mut dice, wanted)));
    let joined: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", joined.join(","))
}

type Member = (&'static str, String);

/// The text is JSON already: escapes in it are meant.
fn text(escaped: &str) -> String {
    format!("\"{escaped}\"")
}

fn status(dice: &mut Dice) -> String {
    let (code, reason) = dice.one_of(&[
        (0, "null"),
        (0, "null"),
        (50126, "\"Error validating credentials due to invalid username or password.\""),
        (50053, "\"The account is locked, you\\u2019ve tried to sign in too many times.\""),
    ]);
    format!("{{\"errorCode\":{code},\"failureReason\":{reason},\"additionalDetails\":null}}")
}

fn person(dice: &mut Dice, seed: u64) -> Vec<Member> {
    let (city, state, country, latitude, longitude) = dice.one_of(CITIES);
    let place = format!(
        "{{\"city\":\"{city}\",\"state\":\"{state}\",\"countryOrRegion\":\"{country}\",\"geoCoordinates\":{{\
         \"altitude\":null,\"latitude\":{latitude},\"longitude\":{longitude}}}}}"
    );
    let device = format!(
        "{{\"deviceId\":\"\",\"displayName\":null,\"operatingSystem\":\"{}\",\"browser\":\"Edge 131.0.0\",\
         \"isCompliant\":null,\"isManaged\":null,\"trustType\":null}}",
        dice.one_of(&["Windows 11", "MacOs", "Android 15"])
    );
    vec![
        ("userDisplayName", text(dice.one_of(DISPLAY_NAMES))),
        ("userPrincipalName", text(&format!("user{seed}@example.com"))),
        ("userId", text(&dice.guid())),
        ("ipAddress", text(&dice.address())),
        ("location", place),
        ("deviceDetail", device),
    ]
}

fn workload(dice: &mut Dice) -> Vec<Member> {
    let device = "{\"deviceId\":\"\",\"displayName\":null,\"operatingSystem\":\"\",\"browser\":\"\",\
                  \"isCompliant\":null,\"isManaged\":null,\"trustType\":null}";
    vec![
        ("userDisplayName", "null".to_owned()),
        ("userPrincipalName", "null".to_owned()),
        ("userId", "null".to_owned()),
        ("ipAddress", text("")),
        (
            "location",
            "{\"city\":\"\",\"state\":\"\",\"countryOrRegion\":\"\",\"geoCoordinates\":{}}".to_owned(),
        ),
        ("deviceDetail", device.to_owned()),
        ("servicePrincipalName", text(dice.one_of(APPLICATIONS))),
        ("servicePrincipalId", text(&dice.guid())),
        ("servicePrincipalCredentialKeyId", text(&dice.guid())),
    ]
}

fn beta(dice: &mut Dice, event_types: &[&str]) -> Vec<Member> {
    let quoted: Vec<String> = event_types.iter().map(|kind| text(kind)).collect();
    vec![
        ("signInEventTypes", format!("[{}]", quoted.join(","))),
        ("userAgent", text(dice.one_of(AGENTS))),
        ("authenticationRequirement", text("multiFactorAuthentication")),
        ("tokenIssuerType", text("AzureAD")),
        ("processingTimeInMilliseconds", dice.one_of(&["541", "0", "1E0"]).to_owned()),
        ("mfaDetail", "null".to_owned()),
        ("networkLocationDetails", "[]".to_owned()),
        ("uniqueTokenIdentifier", text(&dice.guid().replace('-', "_"))),
    ]
}

fn policies(dice: &mut Dice, least_bytes: usize) -> String {
    let mut policies: Vec<String> = Vec::new();
    let mut bytes = 0;
    while policies.is_empty() || bytes < least_bytes {
        let policy = format!(
            "{{\"id\":\"{}\",\"displayName\":\"Require {} for {}\",\"enforcedGrantControls\":[\"Mfa\"],\
             \"enforcedSessionControls\":[],\"result\":\"{}\"}}",
            dice.guid(),
            dice.one_of(&["MFA", "a compliant device", "terms of use"]),
            dice.one_of(&["guests", "administrators", "legacy clients"]),
            dice.one_of(&["notApplied", "notEnabled", "success", "reportOnlyNotApplied"]),
        );
        bytes += policy.len() + 1;
        policies.push(policy);
    }
    format!("[{}]", policies.join(","))
}
