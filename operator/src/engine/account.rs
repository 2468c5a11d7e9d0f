//! The ServiceAccount of each Gateway whose proxies may identify themselves by its token.

use std::sync::PoisonError;

use portico_crds::{GATEWAY_GROUP, Kind};
use portico_providers::{Plan, Provider, UnitId, stable_name};
use serde_json::{Map, Value, json};

use super::{Engine, PassError};
use crate::objects;

/// Kubernetes: a label's value has at most 63 characters.
const LONGEST_LABEL: usize = 63;

/// Kubernetes: a name has at most 253 characters.
const LONGEST_NAME: usize = 253;

impl<P: Provider> Engine<P> {
    /// Keeps a Gateway's ServiceAccount, in its namespace: `GATEWAY-CLASS` (GEP-1762), with the labels and annotations of `spec.infrastructure`. It goes with its Gateway,
    /// which owns it. No call where nothing changed.
    pub(super) async fn keep_account(&self, unit: &UnitId, plan: &Plan) -> Result<(), PassError> {
        if !self.leadership.is_leader() {
            return Ok(());
        }
        let Some(account) = self.account(plan) else { return Ok(()) };
        if self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(unit) == Some(&account) {
            return Ok(());
        }
        self.objects.cluster().apply(Kind::ServiceAccount, account.clone()).await?;
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.clone(), account);
        Ok(())
    }

    /// The Gateway is gone, and its ServiceAccount with it.
    pub(super) fn forget_account(&self, unit: &UnitId) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
    }

    /// The ServiceAccount of a plan's Gateway as it should be.
    fn account(&self, plan: &Plan) -> Option<Value> {
        let gateway = plan.gateways.first()?;
        let raw = self.world.read().raw(Kind::Gateway, &gateway.key)?.clone();
        let class = raw.pointer("/spec/gatewayClassName").and_then(Value::as_str).unwrap_or_default();
        let uid = objects::uid(&raw)?;
        let name = &gateway.key.name;
        let mut labels: Map<String, Value> = gateway.infrastructure.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        labels.insert(format!("{GATEWAY_GROUP}/gateway-name"), json!(short(name, LONGEST_LABEL)));
        labels.insert(format!("{GATEWAY_GROUP}/gateway-class-name"), json!(short(class, LONGEST_LABEL)));
        labels.insert("app.kubernetes.io/managed-by".to_owned(), json!("portico"));
        let metadata = json!({
            "namespace": gateway.key.namespace,
            "name": account_name(name, class),
            "labels": labels,
            "annotations": gateway.infrastructure.annotations,
            "ownerReferences": [{
                "apiVersion": Kind::Gateway.api_version(), "kind": Kind::Gateway.name(), "name": name, "uid": uid, "controller": true,
            }],
        });
        Some(json!({"apiVersion": Kind::ServiceAccount.api_version(), "kind": Kind::ServiceAccount.name(), "metadata": metadata}))
    }
}

/// The name of a Gateway's ServiceAccount.
pub fn account_name(gateway: &str, class: &str) -> String {
    short(&format!("{gateway}-{class}"), LONGEST_NAME)
}

/// A name as it is, or cut with a hash at its end where it is too long.
fn short(name: &str, longest: usize) -> String {
    if name.len() <= longest { name.to_owned() } else { stable_name("portico", &[name], &[name], longest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart_and_fit() {
        assert_eq!(account_name("web", "edge"), "web-edge");
        let (a, b) = (account_name(&"a".repeat(253), "edge"), account_name(&"a".repeat(253), "edges"));
        assert!(a != b && a.len() <= LONGEST_NAME && b.len() <= LONGEST_NAME, "{a} {b}");
    }
}
