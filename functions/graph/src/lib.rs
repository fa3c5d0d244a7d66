//! Microsoft Graph: the inputs `microsoft_graph_audit` and, later, `microsoft_graph_security`.
//!
//! What the services share: hosts and audiences by cloud, and one request budget for everything under `/auditLogs`
//! (5 requests in 10 s for an app in a tenant; Graph's throttling limits for Entra logs).

mod directory_audits;

use collector::service::{Cloud, Family, Rate};

/// The audit logs of Entra ID.
pub static AUDIT: Family = Family {
    input: "microsoft_graph_audit",
    aliases: &[],
    clouds: CLOUDS,
    services: &[&directory_audits::SERVICE],
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
