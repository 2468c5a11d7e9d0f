//! The report on a GatewayClass.

use super::{Condition, ConditionType};
use crate::status::{Desired, ObjectStatus};
use portico_crds::condition::GatewayClassCondition;
use portico_providers::Feature;
use serde_json::json;

/// What is to be said about a GatewayClass.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassReport {
    /// The generation that was looked at.
    pub generation: i64,
    /// Accepted and SupportedVersion.
    pub conditions: Vec<Condition>,
    /// `status.supportedFeatures`, sorted; empty while the class is not accepted.
    pub features: Vec<Feature>,
}

impl ClassReport {
    /// What the class's status should hold, to be given to [`crate::status::merge`].
    pub fn desired(&self) -> Desired {
        let features: Vec<_> = self.features.iter().map(|name| json!({ "name": name })).collect();
        Desired::Object(ObjectStatus {
            generation: self.generation,
            owned: GatewayClassCondition::TYPES,
            conditions: self.conditions.clone(),
            listeners: None,
            fields: vec![("supportedFeatures", json!(features))],
        })
    }
}
