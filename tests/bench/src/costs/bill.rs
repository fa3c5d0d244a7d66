//! A month's bill: quantities times prices, what collecting costs first and everything around it apart.

use serde::Serialize;

use super::assumptions::Assumptions;
use super::measure::Measured;
use super::model::{Quantities, ServiceMonth, month};
use super::prices::{Item, Prices};
use super::tenants::Tenant;
use crate::Outcome;

/// Days of a month.
pub const MONTH_DAYS: f64 = 30.0;
/// Hours of a month as AWS's calculator has them.
pub const MONTH_HOURS: f64 = 730.0;

/// What a function runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Architecture {
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm,
}

/// What a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Without it nothing is collected.
    Collecting,
    /// Watching, keeping and carrying away.
    Around,
}

/// A line of the bill.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What it is for.
    pub name: &'static str,
    /// What it belongs to.
    pub group: Group,
    /// How much of it.
    pub quantity: f64,
    /// In this unit.
    pub unit: String,
    /// What it costs, in US dollars.
    pub usd: f64,
    /// False when its price has to be compared with AWS's page first.
    pub is_confirmed: bool,
}

/// A tenant's month.
#[derive(Debug, Clone, Serialize)]
pub struct Bill {
    /// The tenant.
    pub tenant: Tenant,
    /// What the functions run on.
    pub architecture: Architecture,
    /// Days of the month.
    pub days: f64,
    /// Its lines.
    pub lines: Vec<Line>,
    /// What each service takes.
    pub services: Vec<ServiceMonth>,
}

impl Bill {
    /// What the lines of a group cost together, in US dollars.
    pub fn usd_of(&self, group: Group) -> f64 {
        self.lines.iter().filter(|line| line.group == group).map(|line| line.usd).sum()
    }

    /// What everything costs, in US dollars.
    pub fn usd(&self) -> f64 {
        self.lines.iter().map(|line| line.usd).sum()
    }

    /// The services whose pace Microsoft's limit sets.
    pub fn at_limit(&self) -> Vec<&'static str> {
        self.services.iter().filter(|service| service.is_at_limit).map(|service| service.function).collect()
    }
}

/// The bill of a tenant for a month of so many days.
pub fn bill(
    measured: &Measured,
    assumptions: &Assumptions,
    prices: &Prices,
    (tenant, architecture, days): (Tenant, Architecture, f64),
) -> Outcome<Bill> {
    let services = month(measured, assumptions, tenant, days);
    let lines = entries(&services, assumptions, architecture)
        .into_iter()
        .map(|(name, group, item, quantity)| {
            let usd = prices.usd(item, quantity)?;
            let price = prices.prices.get(&item).ok_or("a price is missing")?;
            Ok(Line { name, group, quantity, unit: price.unit.clone(), usd, is_confirmed: price.confirmed })
        })
        .collect::<Outcome<_>>()?;
    Ok(Bill { tenant, architecture, days, lines, services })
}

type Entry = (&'static str, Group, Item, f64);

fn entries(services: &[ServiceMonth], assumptions: &Assumptions, architecture: Architecture) -> Vec<Entry> {
    use Group::{Around, Collecting};
    let all = |figure: fn(&Quantities) -> f64| -> f64 {
        services.iter().map(|service| figure(&service.quantities)).sum()
    };
    let invocations = all(|quantities| quantities.invocations);
    let log_gb = all(|quantities| quantities.log_gb);
    let stored_gb = all(|quantities| quantities.stored_gb);
    let lambda = match architecture {
        Architecture::X86 => Item::LambdaX86,
        Architecture::Arm => Item::LambdaArm,
    };
    vec![
        ("Lambda, requests", Collecting, Item::LambdaRequest, invocations),
        ("Lambda, time", Collecting, lambda, all(|quantities| quantities.gb_seconds)),
        ("DynamoDB, writes", Collecting, Item::DynamodbWrite, all(|quantities| quantities.writes)),
        ("DynamoDB, reads", Collecting, Item::DynamodbRead, all(|quantities| quantities.reads)),
        ("DynamoDB, storage", Collecting, Item::DynamodbStorage, stored_gb),
        ("Secrets Manager, secrets", Collecting, Item::Secret, assumptions.secrets),
        ("Secrets Manager, calls", Collecting, Item::SecretCall, all(|quantities| quantities.secret_calls)),
        // DynamoDB asks for the table's key once a connection, which a paused function does not keep. A secret's key is free.
        ("KMS, the table's key", Collecting, Item::KeyUse, invocations),
        ("EventBridge Scheduler", Collecting, Item::SchedulerInvocation, invocations),
        ("CloudWatch, metrics", Around, Item::Metric, assumptions.metrics),
        ("CloudWatch, alarms", Around, Item::Alarm, assumptions.alarms),
        ("CloudWatch, dashboard", Around, Item::Dashboard, assumptions.dashboards),
        ("CloudWatch, logs taken in", Around, Item::LogsIngested, log_gb),
        (
            "CloudWatch, logs kept",
            Around,
            Item::LogsStored,
            log_gb * assumptions.log_compression * assumptions.log_days / 30.0,
        ),
        ("Traffic out", Around, Item::TrafficOut, all(|quantities| quantities.out_gb)),
        // Into the queue, out of it, and gone.
        ("SQS, dead letters", Around, Item::QueueRequest, invocations * assumptions.failed_share * 3.0),
        ("DynamoDB, backup (PITR)", Around, Item::DynamodbPointInTimeRecovery, stored_gb),
    ]
}

#[cfg(test)]
#[path = "bill_tests.rs"]
mod tests;
