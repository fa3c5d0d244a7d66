//! Provisioning events: what was written into another directory. Their times are whole seconds, as in the samples.

use jiff::Timestamp;

use super::content::{DISPLAY_NAMES, Dice};
use super::time_text;

/// A provisioning event, about 1.3 kB.
pub fn provisioning(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "provisioning");
    let when = time_text(time, dice.one_of(&[0, 0, 0, 7]));
    let [id, tenant, cycle, change, principal, source, target] = std::array::from_fn(|_| dice.guid());
    let job = format!("scim.{}.{}", tenant.replace('-', ""), dice.guid());
    let action = dice.one_of(&["create", "update", "delete", "disable", "stagedDelete", "other"]);
    let status = dice.one_of(&["success", "success", "skipped", "failure", "warning"]);
    let name = dice.one_of(DISPLAY_NAMES);
    let duration = dice.below(9000);
    let error = if status == "failure" {
        "{\"errorCode\":\"SystemForCrossDomainIdentityManagementServiceIncompatible\",\"reason\":null,\
         \"additionalDetails\":null,\"errorCategory\":\"nonServiceFailure\",\"recommendedAction\":null}"
    } else {
        "null"
    };
    format!(
        "{{\"id\":\"{id}\",\"activityDateTime\":\"{when}\",\"tenantId\":\"{tenant}\",\"jobId\":\"{job}\",\
         \"cycleId\":\"{cycle}\",\"changeId\":\"{change}\",\"provisioningAction\":\"{action}\",\
         \"durationInMilliseconds\":{duration},\"provisioningStatusInfo\":{{\"status\":\"{status}\",\
         \"errorInformation\":{error}}},\"provisioningSteps\":[{{\"name\":\"EntryImport\",\
         \"provisioningStepType\":\"Import\",\"status\":\"success\",\"description\":\"Retrieved User \\u0027user{seed}@example.com\\u0027 from the source\",\
         \"details\":{{}}}},{{\"name\":\"EntryExportUpdate\",\"provisioningStepType\":\"Export\",\
         \"status\":\"{status}\",\"description\":\"{name} was written\",\"details\":{{\"ReportableIdentifier\":\"{target}\"}}}}],\
         \"modifiedProperties\":[{{\"displayName\":\"displayName\",\"oldValue\":null,\"newValue\":\"{name}\"}},{{\
         \"displayName\":\"active\",\"oldValue\":\"False\",\"newValue\":\"True\"}}],\
         \"servicePrincipal\":{{\"id\":\"{principal}\",\"displayName\":\"Ticket system\"}},\
         \"sourceSystem\":{{\"id\":\"{source}\",\"displayName\":\"Microsoft Entra ID\",\"details\":{{}}}},\
         \"targetSystem\":{{\"id\":\"{target}\",\"displayName\":\"Ticket system\",\"details\":{{\"ApplicationId\":\"{principal}\"}}}},\
         \"initiatedBy\":{{\"initiatingType\":\"system\",\"id\":\"\",\"displayName\":\"Microsoft Entra Provisioning Service\"}},\
         \"sourceIdentity\":{{\"identityType\":\"User\",\"id\":\"{source}\",\"displayName\":\"\",\"details\":{{}}}},\
         \"targetIdentity\":{{\"identityType\":\"User\",\"id\":\"{target}\",\"displayName\":null,\"details\":{{}}}}}}"
    )
}
