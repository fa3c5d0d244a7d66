//! Secure scores, one for each day, and the profiles of the controls that make them up.
//!
//! Both types are open: records have members that no schema declares. Scores of -1 and odd spellings of numbers have
//! been met.

use jiff::Timestamp;

use super::content::{DISPLAY_NAMES, Dice};
use super::time_text;
use crate::tenant::USUAL_TENANT_ID;

/// Controls whose names are published; others are numbered.
const CONTROLS: &[(&str, &str, &str)] = &[
    ("AdminMFAV2", "Identity", "AAD"),
    ("MFARegistrationV2", "Identity", "AAD"),
    ("BlockLegacyAuthentication", "Identity", "AAD"),
    ("DLPEnabled", "Data", "IP"),
    ("mdo_safelinksforemail", "Apps", "MDO"),
    ("exo_mailboxaudit", "Apps", "EXO"),
    ("mcasFirewallLogUpload", "Apps", "MCAS"),
    ("SelfServicePasswordReset", "Identity", "AAD"),
];

/// The score of a day, about 1.9 kB. Its id is the directory and the day of `time` in UTC; another seed is another
/// reading of that day.
pub fn secure_score(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "secure score");
    let day = time.strftime("%Y-%m-%d");
    let created = dice.time(time);
    let current = dice.one_of(&["387.0", "387.50", "-1.0", "1E2", "412"]);
    let active = dice.one_of(&["-1", "0", "812"]);
    let synced = time_text(time, 7);
    let description = dice.one_of(DISPLAY_NAMES);
    let controls: Vec<String> = CONTROLS
        .iter()
        .map(|(name, category, _)| {
            let score = dice.one_of(&["10.0", "0.0", "-1.0", "3.3333333333333335", "-0.0"]);
            let undeclared = match dice.below(3) {
                0 => String::new(),
                1 => format!(",\"scoreInPercentage\":100.00,\"lastSynced\":\"{synced}\",\"count\":\"7\",\"total\":\"9\""),
                _ => ",\"on\":\"true\",\"implementationStatus\":null".to_owned(),
            };
            format!(
                "{{\"controlCategory\":\"{category}\",\"controlName\":\"{name}\",\
                 \"description\":\"<p>{description}<\\/p>\",\"score\":{score}{undeclared}}}"
            )
        })
        .collect();
    let controls = controls.join(",");
    format!(
        "{{\"id\":\"{USUAL_TENANT_ID}_{day}\",\"azureTenantId\":\"{USUAL_TENANT_ID}\",\"activeUserCount\":{active},\
         \"createdDateTime\":\"{created}\",\"currentScore\":{current},\"enabledServices\":[\"HasExchange\",\
         \"HasSharePoint\"],\"licensedUserCount\":1000,\"maxScore\":697.00,\"averageComparativeScores\":[{{\
         \"basis\":\"AllTenants\",\"averageScore\":37.0,\"AppsScore\":-1,\"IdentityScore\":12.50}},{{\
         \"basis\":\"IndustryTypes\",\"averageScore\":109.0,\"industryName\":\"Caf\u{e9}s\"}}],\
         \"controlScores\":[{controls}],\"vendorInformation\":{{\"provider\":\"SecureScore\",\"providerVersion\":null,\
         \"subProvider\":null,\"vendor\":\"Microsoft\"}}}}"
    )
}

/// The profile of a control, about 1.2 kB; the seed chooses the control, `time` is that of its last state.
pub fn control_profile(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "control profile");
    let named = usize::try_from(seed).ok().and_then(|index| CONTROLS.get(index).copied());
    let numbered = format!("scid_{seed}");
    let (id, category, service) = named.unwrap_or((&numbered, "Device", "MDATP"));
    let updated = dice.time(time);
    let name = dice.one_of(DISPLAY_NAMES);
    let (rank, cost) = (dice.below(100), dice.one_of(&["Low", "Moderate", "High", ""]));
    let modified = dice.one_of(&["null", "null", "\"0001-01-01T00:00:00Z\""]);
    let most = dice.one_of(&["20.0", "5", "1E0", "-1.0"]);
    let state = dice.one_of(&["Default", "Ignored", "ThirdParty"]);
    let undeclared = dice.one_of(&["", ",\"licenses\":[],\"ownership\":null"]);
    format!(
        "{{\"id\":\"{id}\",\"azureTenantId\":\"{USUAL_TENANT_ID}\",\"actionType\":\"Config\",\
         \"actionUrl\":\"https:\\/\\/compliance.example.com\\/#\\/policies?name=\\u0022{id}\\u0022\",\
         \"controlCategory\":\"{category}\",\"title\":\"Control of {name}\",\"deprecated\":false,\
         \"implementationCost\":\"{cost}\",\"lastModifiedDateTime\":{modified},\"maxScore\":{most},\"rank\":{rank},\
         \"remediation\":\"<ol>\\r\\n<li>Ask {name}<\\/li>\\r\\n\\t<li>Turn it on<\\/li><\\/ol>\",\
         \"remediationImpact\":\"This change will have a moderate impact on your users.\",\"service\":\"{service}\",\
         \"threats\":[\"Data Exfiltration\",\"Account Breach\"],\"tier\":\"Core\",\"userImpact\":\"Low\",\
         \"complianceInformation\":[{{\"certificationName\":\"ISO 27001:2013\",\"certificationControls\":[{{\
         \"name\":\"A.8.2.1\",\"url\":\"\"}}]}}],\"controlStateUpdates\":[{{\"assignedTo\":null,\"comment\":null,\
         \"state\":\"{state}\",\"updatedBy\":\"{name}\",\"updatedDateTime\":\"{updated}\"}}],\
         \"vendorInformation\":{{\"provider\":\"SecureScore\",\"providerVersion\":null,\"subProvider\":null,\
         \"vendor\":\"Microsoft\"}}{undeclared}}}"
    )
}
