//! ListenerSets: whether they may attach to their Gateway, and their listeners.

use super::listener::{self, Holder, Listener};
use crate::World;
use crate::report::{Fault, ListenerSetReport};
use crate::world::object::Stored;
use portico_crds::NamespacedName;
use portico_crds::condition::ListenerSetReason as Reason;
use portico_crds::normal::{GatewaySpec, ListenerSetSpec};
use portico_providers::{Capabilities, ListenerParent};

/// Looks at a ListenerSet of a Gateway. Where it may not attach it has no listeners.
pub(super) fn evaluate<'a>(
    world: &World,
    gateway: &'a NamespacedName,
    gateway_spec: &'a GatewaySpec,
    set: &'a Stored<ListenerSetSpec>,
    capabilities: &'static Capabilities,
) -> (ListenerSetReport, Vec<Listener<'a>>) {
    let key = &set.meta.key;
    let mut report = ListenerSetReport { generation: set.meta.generation, ..ListenerSetReport::default() };
    let allowed = gateway_spec.allowed_listeners.from.allows(&gateway.namespace, &key.namespace, world.labels(&key.namespace));
    if !allowed {
        let message = format!(
            "spec.parentRef: Gateway {gateway} takes no ListenerSets from namespace {}; use another one, or ask its owner to let the namespace in \
             (spec.allowedListeners.namespaces)",
            key.namespace
        );
        report.rejected = Some(Fault::new(Reason::NotAllowed, message));
        return (report, Vec::new());
    }
    let Some(spec) = &set.spec else {
        report.rejected = Some(Fault::new(Reason::Invalid, format!("The ListenerSet cannot be read: {}", set.unreadable())));
        return (report, Vec::new());
    };
    report.notes = listener::notes(&set.raw, &set.defects);
    let holder = Holder {
        parent: ListenerParent::ListenerSet,
        key,
        raw: &set.raw,
        defects: &set.defects,
        listeners: &spec.listeners,
        gateway: gateway_spec,
        gateway_namespace: &gateway.namespace,
        capabilities,
    };
    (report, listener::evaluate(world, holder))
}
