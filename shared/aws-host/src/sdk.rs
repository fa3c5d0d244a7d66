//! The AWS SDK's settings, from variables alone.
//!
//! Lambda gives a function its region and its role's credentials as variables. The SDK's own loader would also look for
//! profiles, containers, web identities and a machine's metadata, which no function has, and it would bring the clients
//! for them along: 0.7 MB of the artefact. What is read here keeps the SDK's names and meaning.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::environment::Lookup;

const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// For all services; `_` and the service's name behind it make that of one.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const SERVICES: [&str; 2] = ["DYNAMODB", "SECRETS_MANAGER"];
const NO_ENDPOINTS: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

/// What the clients of DynamoDB and Secrets Manager are made with. Asks for nothing over the network; credentials are
/// read with the first call.
pub fn config(lookup: Lookup<'_>) -> SdkConfig {
    let value = |name: &str| lookup(name).filter(|text| !text.is_empty());
    let is_set = |name: &str| value(name).map(|text| text.eq_ignore_ascii_case("true"));
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(REGION.into_iter().find_map(value).map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .service_config(Endpoints::read(&value, is_set(NO_ENDPOINTS) == Some(true)));
    builder.set_use_fips(is_set("AWS_USE_FIPS_ENDPOINT"));
    builder.set_use_dual_stack(is_set("AWS_USE_DUALSTACK_ENDPOINT"));
    builder.set_app_name(value("AWS_SDK_UA_APP_ID").and_then(|name| AppName::new(name).ok()));
    builder.build()
}

/// Where services are, when they are not where they usually are.
#[derive(Debug)]
struct Endpoints {
    of_all: Option<String>,
    of_one: [Option<String>; SERVICES.len()],
}

impl Endpoints {
    fn read(value: &impl Fn(&str) -> Option<String>, are_ignored: bool) -> Self {
        let read = |name: &str| value(name).filter(|_| !are_ignored);
        Self {
            of_all: read(ENDPOINT),
            of_one: SERVICES.map(|service| read(&format!("{ENDPOINT}_{service}"))),
        }
    }
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() != ENDPOINT {
            return None;
        }
        let service = key.service_id().to_uppercase().replace(' ', "_");
        let own = SERVICES.iter().zip(&self.of_one).find(|(name, _)| **name == service);
        own.and_then(|(_, url)| url.clone()).or_else(|| self.of_all.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SDK's settings under these variables.
    fn under(variables: &[(&str, &str)]) -> SdkConfig {
        config(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// Where this service is, as its client asks.
    fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service).env(ENDPOINT).profile("endpoint_url");
        config.service_config().unwrap().load_config(key.build().unwrap())
    }

    #[test]
    fn a_service_is_where_its_own_variable_says_or_that_of_all() {
        let all = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        let (table, secrets) = (
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:2"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:3"),
        );
        let cases: [(&[_], _, _); 6] = [
            (&[], None, None),
            (&[all], Some(all.1), Some(all.1)),
            (&[table], Some(table.1), None),
            (&[all, secrets], Some(all.1), Some(secrets.1)),
            (&[all, table, secrets], Some(table.1), Some(secrets.1)),
            (&[all, table, secrets, (NO_ENDPOINTS, "TRUE")], None, None),
        ];
        for (variables, of_table, of_secrets) in cases {
            let config = under(variables);
            let found = (endpoint(&config, "DynamoDB"), endpoint(&config, "Secrets Manager"));
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (of_table, of_secrets), "{variables:?}");
        }
    }

    #[test]
    fn region_and_kinds_of_endpoints_are_the_variables_and_an_empty_one_is_none() {
        let cases: [(&[_], _); 4] = [
            (&[], None),
            (&[("AWS_REGION", "")], None),
            (&[("AWS_DEFAULT_REGION", "eu-west-1")], Some("eu-west-1")),
            (&[("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "us-east-1")], Some("us-east-1")),
        ];
        for (variables, expected) in cases {
            assert_eq!(under(variables).region().map(AsRef::as_ref), expected, "{variables:?}");
        }
        let plain = under(&[]);
        assert_eq!((plain.use_fips(), plain.use_dual_stack(), plain.app_name()), (None, None, None));
        let other = under(&[
            ("AWS_USE_FIPS_ENDPOINT", "True"),
            ("AWS_USE_DUALSTACK_ENDPOINT", "false"),
            ("AWS_SDK_UA_APP_ID", "collector"),
        ]);
        assert_eq!((other.use_fips(), other.use_dual_stack()), (Some(true), Some(false)));
        assert_eq!(other.app_name().map(AsRef::as_ref), Some("collector"));
    }
}
