//! Microsoft Graph: the inputs `microsoft_graph_audit` and `microsoft_graph_security`.
//!
//! What the services share: hosts and audiences by cloud, how long records are kept and how late they come, and two
//! request budgets: everything under `/auditLogs` (5 requests in 10 s for an app in a tenant; Graph's throttling limits
//! for Entra logs), and everything under `/security` (150 in a minute; its limits for alerts and secure scores).

mod alerts;
mod alerts_v2;
mod directory_audits;
mod provisioning_audits;
mod secure_score_control_profiles;
mod secure_scores;
mod sign_ins;
mod sign_ins_v2;

use collector::service::{Cloud, Family, Older, Rate, WindowRule};
use jiff::SignedDuration;

/// The audit logs of Entra ID.
pub static AUDIT: Family = Family {
    input: "microsoft_graph_audit",
    aliases: &["microsoft_graph"],
    older: Older {
        parts: &[
            sign_ins_v2::part("signIn_nonInteractive", "nonInteractiveUser"),
            sign_ins_v2::part("signIn_servicePrincipal", "servicePrincipal"),
            sign_ins_v2::part("signIn_managedIdentity", "managedIdentity"),
        ],
        ..Older::NONE
    },
    clouds: CLOUDS,
    services: &[
        &directory_audits::SERVICE,
        &provisioning_audits::SERVICE,
        &sign_ins::SERVICE,
        &sign_ins_v2::SERVICE,
    ],
};

/// The alerts and secure scores of Microsoft's security products. China's cloud has none of them.
pub static SECURITY: Family = Family {
    input: "microsoft_graph_security",
    aliases: &["microsoft_graph"],
    older: Older {
        tags: &[
            ("alerts", "cloud.msgraph.security.alerts.2"),
            ("secure_scores", "cloud.msgraph.security.scores.2"),
            ("secure_score_control_profiles", "cloud.msgraph.security.scorecontrol.2"),
        ],
        ..Older::NONE
    },
    clouds: CLOUDS,
    services: &[
        &alerts::SERVICE,
        &alerts_v2::SERVICE,
        &secure_scores::SERVICE,
        &secure_score_control_profiles::SERVICE,
    ],
};

/// Global (GCC too) and GCC High. A token's scope is the root of its own cloud.
const CLOUDS: &[Cloud] = &[
    Cloud {
        top_level_domain: Some("com"),
        base_url: "https://graph.microsoft.com",
        login_url: "https://login.microsoftonline.com",
        scope: "https://graph.microsoft.com/.default",
    },
    Cloud {
        top_level_domain: Some("us"),
        base_url: "https://graph.microsoft.us",
        login_url: "https://login.microsoftonline.us",
        scope: "https://graph.microsoft.us/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://dod-graph.microsoft.us",
        login_url: "https://login.microsoftonline.us",
        scope: "https://dod-graph.microsoft.us/.default",
    },
    Cloud {
        top_level_domain: None,
        base_url: "https://microsoftgraph.chinacloudapi.cn",
        login_url: "https://login.chinacloudapi.cn",
        scope: "https://microsoftgraph.chinacloudapi.cn/.default",
    },
];

/// The limit that all of `/auditLogs` shares.
const AUDIT_LOGS: Rate = Rate { requests: 5, seconds: 10, budget: "auditLogs" };

/// The limit that all of `/security` shares.
const SECURITY_LOGS: Rate = Rate { requests: 150, seconds: 60, budget: "security" };

/// The permission that all of `/security` asks for, the newer alerts excepted.
const SECURITY_EVENTS: &str = "SecurityEvents.Read.All";

/// Records are kept for 30 days. There is no time of ingestion, so late ones are found by looking back; they usually come
/// within minutes.
const WINDOW: WindowRule = WindowRule {
    max: SignedDuration::from_hours(7 * 24),
    lookback: SignedDuration::from_hours(1),
    retention: SignedDuration::from_hours(30 * 24),
};

/// There are many sign-ins, and reading many of them again every few minutes is dear: what is later than this, above all
/// those that are not interactive, is the late sweep's.
const SIGN_IN_WINDOW: WindowRule = WindowRule { lookback: SignedDuration::from_mins(15), ..WINDOW };
