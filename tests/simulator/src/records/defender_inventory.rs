//! The inventories of Defender for Endpoint: machines, software, vulnerabilities, recommendations; and rows of hunting.
//!
//! Ids are what a careless path would break: they hold plus signs, number signs, slashes, percent signs and spaces.

use jiff::{SignedDuration, Timestamp};

use super::content::{AGENTS, APPLICATIONS, DISPLAY_NAMES, Dice};
use super::defender_alert::machine_id;
use super::time_text;

/// Products, as ids spell them.
const PRODUCTS: &[(&str, &str)] = &[
    ("example", "c++_runtime"),
    ("simulated_systems", "viewer"),
    ("example", "f# tools"),
    ("caf\u{e9}_software", "till"),
    ("simulated_systems", "backup\\/restore"),
    ("example", "100%_cleaner"),
    ("open-_-projects", "editor"),
];

/// A machine, about 1.3 kB, last seen at `time`.
pub fn machine(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "machine");
    let id = machine_id(seed);
    let first_seen = time.saturating_sub(SignedDuration::from_hours(24 * 200)).unwrap_or(time);
    let (first_seen, last_seen) = (dice.time(first_seen), dice.time(time));
    let (platform, version) = dice.one_of(&[
        ("Windows11", "24H2"),
        ("Ubuntu", "24.4"),
        ("macOS", ""),
        ("WindowsServer2022", "21H2"),
    ]);
    let build = dice.one_of(&["26100", "null", "20348"]);
    let (address, external) = (dice.address(), dice.address());
    let listed = match dice.below(3) {
        0 => String::new(),
        _ => address.clone(),
    };
    let mac = dice.one_of(&["null", "\"\"", "\"00155D0A0B0C\""]);
    let tag = dice.one_of(DISPLAY_NAMES);
    let tags = if dice.below(2) == 0 { String::new() } else { format!("\"{tag}\"") };
    let (group_id, group) = dice.one_of(&[("0", "null"), ("140", "\"Servers\""), ("7", "\"\"")]);
    let (risk, exposure) =
        (dice.one_of(&["None", "Low", "High"]), dice.one_of(&["None", "Low", "Medium", "High"]));
    let directory = dice.one_of(&["null", "\"80fe8ff8-0000-4000-8000-41f0491218f9\""]);
    format!(
        "{{\"id\":\"{id}\",\"mergedIntoMachineId\":null,\"isPotentialDuplication\":false,\"isExcluded\":false,\
         \"exclusionReason\":null,\"computerDnsName\":\"host{seed}.example.com\",\"firstSeen\":\"{first_seen}\",\
         \"lastSeen\":\"{last_seen}\",\"osPlatform\":\"{platform}\",\"osVersion\":null,\"osProcessor\":\"x64\",\
         \"version\":\"{version}\",\"lastIpAddress\":\"{address}\",\"lastExternalIpAddress\":\"{external}\",\
         \"agentVersion\":\"10.8775.26100.{seed}\",\"osBuild\":{build},\"healthStatus\":\"Active\",\
         \"deviceValue\":\"Normal\",\"rbacGroupId\":{group_id},\"rbacGroupName\":{group},\"riskScore\":\"{risk}\",\
         \"exposureLevel\":\"{exposure}\",\"isAadJoined\":{},\"aadDeviceId\":{directory},\"machineTags\":[{tags}],\
         \"defenderAvStatus\":\"Updated\",\"onboardingStatus\":\"Onboarded\",\"osArchitecture\":\"64-bit\",\
         \"managedBy\":\"Intune\",\"managedByStatus\":\"Unknown\",\"ipAddresses\":[{{\"ipAddress\":\"{listed}\",\
         \"macAddress\":{mac},\"type\":\"Ethernet\",\"operationalStatus\":\"Up\"}},{{\"ipAddress\":\"fe80::{:x}\",\
         \"macAddress\":null,\"type\":\"53\",\"operationalStatus\":\"Down\"}}],\"vmMetadata\":null}}",
        directory != "null",
        seed & 0xffff
    )
}

/// A product, about 0.3 kB, with an id of its own: `vendor-_-product`.
pub fn software(seed: u64) -> String {
    let mut dice = Dice::new(seed, "software");
    let (vendor, product) = product(seed);
    let (weaknesses, exposed) = (dice.below(500), dice.below(50_000));
    let impact = dice.one_of(&["46.2037163", "0", "2.39947438", "1E0", "0.0"]);
    format!(
        "{{\"id\":\"{vendor}-_-{product}\",\"name\":\"{product}\",\"vendor\":\"{vendor}\",\"weaknesses\":{weaknesses},\
         \"publicExploit\":{},\"activeAlert\":false,\"exposedMachines\":{exposed},\"installedMachines\":{exposed},\
         \"impactScore\":{impact},\"isNormalized\":true,\"category\":\"\",\"distributions\":[]}}",
        weaknesses > 250
    )
}

/// A vulnerability, about 1 kB, last updated at `time`.
pub fn vulnerability(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "vulnerability");
    let id = cve(seed);
    let (published, updated) = (dice.time(time), time_text(time, 0));
    let (severity, score) =
        dice.one_of(&[("Low", "3.10"), ("Medium", "6.5"), ("Critical", "1E1"), ("High", "null")]);
    let name = dice.one_of(DISPLAY_NAMES);
    let product = dice.one_of(APPLICATIONS);
    let support = dice.one_of(&["Supported", "NotSupported", ""]);
    let description = match dice.below(6) {
        0 => "null".to_owned(),
        _ => format!(
            "\"Summary: {product} lets {name} run code.\\r\\n\\r\\nRemediation:\\tapply the latest patches.\""
        ),
    };
    format!(
        "{{\"id\":\"{id}\",\"name\":\"{id}\",\"description\":{description},\"severity\":\"{severity}\",\
         \"cvssV3\":{score},\"cvssVector\":\"CVSS:3.1\\/AV:N\\/AC:L\",\"exposedMachines\":{},\
         \"publishedOn\":\"{published}\",\"updatedOn\":\"{updated}\",\"firstDetected\":null,\"patchFirstAvailable\":null,\
         \"publicExploit\":false,\"exploitVerified\":false,\"exploitInKit\":false,\"exploitTypes\":[\"Remote\"],\
         \"exploitUris\":[\"https:\\/\\/example.com\\/exploits\\/{seed}\"],\"CveSupportability\":\"{support}\",\
         \"tags\":[],\"epss\":0.00045,\"status\":null}}",
        dice.below(9_000)
    )
}

/// A recommendation, about 0.7 kB: `va-_-vendor-_-product`, or of a setting.
pub fn recommendation(seed: u64) -> String {
    let mut dice = Dice::new(seed, "recommendation");
    let (vendor, product) = product(seed);
    let (id, kind) = match seed % 4 {
        3 => (format!("sca-_-scid-{seed}"), "ConfigurationChange"),
        _ => (format!("va-_-{vendor}-_-{product}"), "Update"),
    };
    let threat = dice.guid();
    let threats = if dice.below(2) == 0 { String::new() } else { format!("\"{threat}\"") };
    let impact = dice.one_of(&["7.674418604651163", "0", "-0.0", "3.9441860465116285"]);
    format!(
        "{{\"id\":\"{id}\",\"productName\":\"{product}\",\"recommendationName\":\"Update {product}\",\"weaknesses\":{},\
         \"vendor\":\"{vendor}\",\"recommendedVersion\":\"\",\"recommendedVendor\":null,\"recommendedProgram\":null,\
         \"recommendationCategory\":\"Application\",\"subCategory\":\"\",\"severityScore\":0.0,\"publicExploit\":true,\
         \"activeAlert\":false,\"associatedThreats\":[{threats}],\"remediationType\":\"{kind}\",\"status\":\"Active\",\
         \"configScoreImpact\":0,\"exposureImpact\":{impact},\"totalMachineCount\":{},\"exposedMachinesCount\":{},\
         \"nonProductivityImpactedAssets\":0,\"relatedComponent\":\"{product}\",\"hasUnpatchableCve\":false,\
         \"tags\":[],\"exposedCriticalDevices\":0}}",
        dice.below(400),
        dice.below(40),
        dice.below(40)
    )
}

/// A row of `DeviceProcessEvents`, about 0.6 kB, of that `Timestamp` with seven fractional digits.
pub fn hunting_row(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "hunting");
    let (device, account) = (machine_id(dice.throw()), dice.one_of(DISPLAY_NAMES));
    let (command, process) = (dice.one_of(AGENTS), dice.below(60_000));
    let parent = dice.one_of(&["null", "\"\"", "\"explorer.exe\""]);
    format!(
        "{{\"Timestamp\":\"{}\",\"DeviceId\":\"{device}\",\"DeviceName\":\"host{seed}.example.com\",\
         \"ActionType\":\"ProcessCreated\",\"FileName\":\"run.exe\",\"ProcessId\":{process},\
         \"ProcessCommandLine\":\"{command}\",\"AccountName\":\"{account}\",\"InitiatingProcessFileName\":{parent},\
         \"ProcessIntegrityLevel\":\"\",\"ReportId\":{seed},\"IsElevated\":0,\"AdditionalFields\":\"{{\\\"score\\\":1E0}}\"}}",
        time_text(time, 7)
    )
}

/// What the API calls a vulnerability.
pub(super) fn cve(seed: u64) -> String {
    format!("CVE-{}-{:05}", 2015 + seed / 100_000 % 80, seed % 100_000)
}

/// Vendor and product, as JSON text.
fn product(seed: u64) -> (&'static str, String) {
    let index = usize::try_from(seed % PRODUCTS.len() as u64).unwrap_or_default();
    let (vendor, product) = PRODUCTS.get(index).copied().unwrap_or(("example", "editor"));
    (vendor, format!("{product}_{seed}"))
}
