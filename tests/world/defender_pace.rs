//! Services of Defender for Endpoint side by side, with the limits that it publishes.
//!
//! What a shift is says `shift`; here is which limits are kept, and by whose account.

use endpoint::DEFENDER;
use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::tenant::{
    Addressee, DefenderCall, DefenderConfig, DefenderLimits, RequestSeen, TenantConfig, Throttle,
};

use super::pace::fullest;
use super::shift::{Rota, Shift};

impl Shift {
    /// A tenant with the published limits and these settings, and the services of these blocks.
    pub async fn of_defender(defender: DefenderConfig, services: &Value) -> Self {
        let config = TenantConfig { defender: defender.published(), ..TenantConfig::default() };
        Self::of(&DEFENDER, config, Rota::default(), services, &json!({})).await
    }

    /// The published limits were kept in every span, wherever it begins, and nothing was refused. Gives a line that says how
    /// full the fullest spans were.
    pub fn assert_defender_limits_are_kept(&self) -> String {
        let requests = self.tenant.requests();
        let to_api = |seen: &&RequestSeen| matches!(seen.addressee, Addressee::Defender(_));
        let refused = requests.iter().filter(|seen| seen.status == Some(429)).count();
        assert_eq!(refused, 0, "refused by the tenant");
        // Who has no user or no machine is told so with a 404.
        let is_well = |seen: &RequestSeen| matches!(seen.status, Some(200 | 404));
        assert!(requests.iter().filter(to_api).all(is_well), "a request went wrong");
        let is_hunting = |seen: &RequestSeen| seen.addressee == Addressee::Defender(DefenderCall::Hunting);
        let times = |of_hunting: bool| -> Vec<Timestamp> {
            let of_kind = requests.iter().filter(to_api).filter(|seen| is_hunting(seen) == of_hunting);
            of_kind.map(|seen| seen.received_at).collect()
        };
        let config = self.tenant.config();
        let DefenderLimits { minute, hour, .. } = config.defender.limits;
        let hunting = config.defender.hunting.limits;
        let mut told = Vec::new();
        for (what, times, limits) in [
            ("lists", times(false), [minute, hour]),
            ("hunting", times(true), [hunting.minute, hunting.hour]),
        ] {
            for Throttle { requests, period } in limits.into_iter().flatten() {
                let full = fullest(&times, period);
                assert!(full <= requests, "{what}: {full} requests in {period:#}");
                told.push(format!("{what}: {full} of {requests} in {period:#}"));
            }
            told.push(format!("{} in all", times.len()));
        }
        told.join(", ")
    }
}
