//! diff (being written).
use crate::observed::Observed;
use crate::operation::Operation;
use crate::stack::Stack;
use portico_providers::{Change, ProviderError};
/// diff
pub fn diff(_stack: &Stack, _observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
    Err(ProviderError::NotReady { message: "being written".into() })
}
