//! Directory audits: who changed what.

use jiff::Timestamp;

use super::content::{DISPLAY_NAMES, Dice};

const ACTIVITIES: &[(&str, &str, &str, &str)] = &[
    ("Add member to group", "GroupManagement", "Core Directory", "Assign"),
    ("Update user", "UserManagement", "Core Directory", "Update"),
    ("Consent to application", "ApplicationManagement", "Core Directory", "Assign"),
    (
        "Add eligible member to role in PIM completed (permanent)",
        "RoleManagement",
        "PIM",
        "CreateRequestedPermanent",
    ),
    ("Reset password (self-service)", "UserManagement", "Self-service Password Management", "Reset"),
];

/// A directory audit, about 1.1 kB.
pub fn directory_audit(seed: u64, time: Timestamp) -> String {
    let mut dice = Dice::new(seed, "directory audit");
    let (activity, category, service, operation) = dice.one_of(ACTIVITIES);
    let correlation = dice.guid();
    let id = format!("{}_{correlation}_{}_{}", dice.one_of(&["Directory", "PIM", "SSGM"]), dice.guid(), seed);
    let when = dice.time(time);
    let initiator = initiator(&mut dice);
    let name = dice.one_of(DISPLAY_NAMES);
    let (target, group) = (dice.guid(), dice.guid());
    let address = dice.address();
    let (result, reason) =
        dice.one_of(&[("success", "\"\""), ("failure", "\"Microsoft.Online.DirectoryServices.Error\"")]);
    format!(
        "{{\"id\":\"{id}\",\"category\":\"{category}\",\"correlationId\":\"{correlation}\",\"result\":\"{result}\",\
         \"resultReason\":{reason},\"activityDisplayName\":\"{activity}\",\"activityDateTime\":\"{when}\",\
         \"loggedByService\":\"{service}\",\"operationType\":\"{operation}\",\"initiatedBy\":{initiator},\
         \"targetResources\":[{{\"id\":\"{target}\",\"displayName\":\"{name}\",\"type\":\"User\",\
         \"userPrincipalName\":\"user{seed}@example.com\",\"groupType\":null,\"modifiedProperties\":[{{\
         \"displayName\":\"Group.ObjectID\",\"oldValue\":null,\"newValue\":\"\\\"{group}\\\"\"}},{{\
         \"displayName\":\"Included Updated Properties\",\"oldValue\":\"[]\",\"newValue\":\"\\\"\\\"\"}}]}},{{\
         \"id\":\"{group}\",\"displayName\":null,\"type\":\"Group\",\"userPrincipalName\":null,\
         \"groupType\":\"azureAD\",\"modifiedProperties\":[]}}],\"additionalDetails\":[{{\"key\":\"User-Agent\",\
         \"value\":\"EvoSTS\"}},{{\"key\":\"ipaddr\",\"value\":\"{address}\"}}]}}"
    )
}

fn initiator(dice: &mut Dice) -> String {
    let (id, name, address) = (dice.guid(), dice.one_of(DISPLAY_NAMES), dice.address());
    if dice.below(3) == 0 {
        return format!(
            "{{\"user\":null,\"app\":{{\"appId\":null,\"displayName\":\"{name}\",\"servicePrincipalId\":\"{id}\",\
             \"servicePrincipalName\":null}}}}"
        );
    }
    format!(
        "{{\"app\":null,\"user\":{{\"id\":\"{id}\",\"displayName\":\"{name}\",\
         \"userPrincipalName\":\"admin@example.com\",\"ipAddress\":\"{address}\",\"userType\":null,\
         \"homeTenantId\":null,\"homeTenantName\":null}}}}"
    )
}
