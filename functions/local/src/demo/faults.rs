//! What goes wrong with `--faults`: a script, the same each time.
//!
//! Everything here can happen in a bad hour of an ordinary day. The receiver's faults strike before a complete event
//! came through, because what arrives over a connection that breaks later is sent again: at least once is all that
//! this protocol can promise. A receiver that reads everything, forgets it and says goodbye politely is not among
//! them: over this protocol nobody can tell it from a good one.

use simulator::receiver::{ConnectionFault, Occurrence};
use simulator::tenant::{Fault, PageKind, RetryAfter, Rule};

use super::world::World;

/// Hands the script to the tenant and the receiver.
pub fn script(world: &World) {
    let mut rules = vec![Rule::on_login(Fault::status(503)).nth(1)];
    for (_, endpoint) in &world.services {
        let on = |nth, fault| Rule::on_endpoint(*endpoint, fault).nth(nth);
        rules.extend([
            on(2, Fault::TooManyRequests(RetryAfter::Seconds(1))),
            on(4, Fault::DuplicateRecords),
            on(5, Fault::status(500)),
            on(7, Fault::Truncate { at: 300 }),
            on(9, Fault::ShuffleOrder),
            on(10, Fault::Reset),
            on(12, Fault::TokenRevoked),
            on(14, Fault::Html),
            Rule::on_endpoint(*endpoint, Fault::ExpireLinks).page(PageKind::Next).nth(6),
        ]);
    }
    world.tenant.script(rules);
    world.receiver.script(vec![
        (Occurrence::Nth(2), ConnectionFault::RefuseCertificate),
        (Occurrence::Nth(4), ConnectionFault::ResetAfter { bytes: 0 }),
        (Occurrence::Nth(7), ConnectionFault::ResetAfter { bytes: 20 }),
    ]);
}
