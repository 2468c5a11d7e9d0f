//! Calls about certificates.

use super::super::effect::Effect;
use super::{Stopped, misplaced, no_answer};
use crate::cache::UnitState;
use crate::region::Region;
use portico_aws::Operation;
use portico_providers::TagSet;

impl Region {
    pub(super) async fn call_certificate(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        match operation {
            Operation::ImportCertificate { secret, sha256, tags, .. } => {
                if let Some(failure) = &state.certificates_unread {
                    return Err(Stopped::Failed(failure.clone()));
                }
                let material = self.key_material(secret, sha256).await.map_err(Stopped::Missing)?;
                let arn = self.import(&material, None, tags).await?.ok_or_else(|| no_answer(operation.call()))?;
                self.account.learn_import(&arn);
                return Ok(Effect::Certificate(arn, tags.clone()));
            }
            Operation::ReimportCertificate { arn, secret, sha256 } => {
                let material = self.key_material(secret, sha256).await.map_err(Stopped::Missing)?;
                self.import(&material, Some(arn), &TagSet::new()).await?;
            }
            Operation::TagCertificate { arn, tags } => self.tag_certificate(arn, tags).await?,
            Operation::DeleteCertificate { arn } => {
                self.delete_certificate(arn).await?;
                self.account.forget_certificate(arn);
            }
            _ => return Err(misplaced(operation)),
        }
        Ok(Effect::Done)
    }
}
