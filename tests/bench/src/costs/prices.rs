//! The prices, from a file that an operator can change for another region.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Something that has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// An invocation of a function.
    LambdaRequest,
    /// A second of a function's GB on x86_64.
    #[serde(rename = "lambda_gb_second_x86_64")]
    LambdaX86,
    /// The same on arm64.
    #[serde(rename = "lambda_gb_second_arm64")]
    LambdaArm,
    /// A write request unit.
    DynamodbWrite,
    /// A read request unit.
    DynamodbRead,
    /// A GB of rows for a month.
    DynamodbStorage,
    /// A GB of rows that can be put back, for a month.
    DynamodbPointInTimeRecovery,
    /// A secret for a month.
    Secret,
    /// A call to Secrets Manager.
    SecretCall,
    /// A use of a key that AWS manages.
    KeyUse,
    /// A timer's tick.
    SchedulerInvocation,
    /// A custom metric for a month.
    Metric,
    /// A metric that an alarm looks at, for a month.
    Alarm,
    /// A dashboard for a month.
    Dashboard,
    /// A GB of log lines.
    LogsIngested,
    /// A GB of stored log lines for a month.
    LogsStored,
    /// A GB to the internet.
    TrafficOut,
    /// A request to a queue.
    QueueRequest,
}

impl Item {
    /// Its key in the file.
    pub fn name(self) -> Outcome<String> {
        Ok(serde_json::to_value(self)?.as_str().unwrap_or_default().to_owned())
    }
}

/// What an item costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// So many US dollars …
    pub usd: f64,
    /// … for so many …
    pub per: f64,
    /// … of these.
    pub unit: String,
    /// True when the source says so; false for a price that has to be compared with it first.
    pub confirmed: bool,
    /// The page of the price.
    pub source: String,
    /// When that page was written or read.
    pub date: String,
}

/// All prices of a region.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The region they are for.
    pub region: String,
    /// Their currency.
    pub currency: String,
    /// What a reader must know.
    pub note: String,
    /// Each item's.
    pub prices: BTreeMap<Item, Price>,
}

impl Prices {
    /// The prices of this file, or of `infra/prices.json` in this repository.
    pub fn read(named: Option<PathBuf>) -> Outcome<Self> {
        let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/prices.json");
        let path = named.unwrap_or_else(own);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// What so much of an item costs, in US dollars.
    pub fn usd(&self, item: Item, quantity: f64) -> Outcome<f64> {
        let price = self.prices.get(&item);
        let price = price.ok_or_else(|| format!("the file of prices has none for {item:?}: add it"))?;
        Ok(price.usd * quantity / price.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_a_price_with_a_source_for_every_item() {
        let prices = Prices::read(None).unwrap();
        assert_eq!(prices.prices.len(), 18);
        for (item, price) in &prices.prices {
            assert!(price.usd > 0.0 && price.per >= 1.0, "{item:?}");
            assert!(price.source.starts_with("https://"), "{item:?}");
            assert!(price.date.parse::<jiff::civil::Date>().is_ok(), "{item:?}: {}", price.date);
        }
    }

    #[test]
    fn a_quantity_costs_its_part_of_the_price() {
        let prices = Prices::read(None).unwrap();
        let million = prices.usd(Item::LambdaRequest, 1e6).unwrap();
        assert_eq!(prices.usd(Item::LambdaRequest, 5e5).unwrap() * 2.0, million);
        assert_eq!(prices.usd(Item::Metric, 0.0).unwrap(), 0.0);
    }

    #[test]
    fn a_price_that_is_missing_is_named() {
        let prices = Prices { prices: BTreeMap::new(), ..Prices::read(None).unwrap() };
        assert!(prices.usd(Item::Alarm, 1.0).unwrap_err().to_string().contains("Alarm"));
    }
}
