//! Whose a proxy's token is, by a TokenReview.

use std::time::Duration;

use async_trait::async_trait;
use kube_client::Client;
use kube_client::api::{Api, PostParams};
use portico_crds::NamespacedName;
use portico_crds::kubernetes::{TokenReview, TokenReviewSpec};
use portico_envoy_xds::TokenReviewer;

use crate::engine::account_name;
use crate::keeper::SharedWorld;

/// Whom tokens must be for: `kubectl create token … --audience portico`, or `audience: portico` in a projected volume.
pub const AUDIENCE: &str = "portico";

/// How long a review may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Reviews tokens by the API server, and finds the Gateway whose ServiceAccount it is.
pub struct ClusterTokens {
    client: Client,
    world: SharedWorld,
}

impl ClusterTokens {
    /// Tokens of this cluster.
    pub fn new(client: Client, world: SharedWorld) -> Self {
        Self { client, world }
    }
}

#[async_trait]
impl TokenReviewer for ClusterTokens {
    async fn review(&self, token: &str) -> Result<NamespacedName, String> {
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = tokio::time::timeout(LIMIT, api.create(&parameters, &review)).await;
        let answer = answer
            .map_err(|_| "the API server does not answer".to_owned())?
            .map_err(|error| format!("the token cannot be reviewed: {error}"))?;
        let status = answer.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            let why = status.error.unwrap_or_else(|| format!("is it for the audience {AUDIENCE}, and not expired?"));
            return Err(format!("the token is not valid: {why}"));
        }
        let user = status.user.and_then(|user| user.username).unwrap_or_default();
        let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let (namespace, name) = account.ok_or_else(|| format!("the token is {user}'s, which is no ServiceAccount"))?;
        let world = self.world.read();
        let gateway = world.gateways_in(namespace).find(|(gateway, class)| account_name(&gateway.name, class) == name);
        let gateway = gateway.map(|(gateway, _)| gateway.clone());
        gateway.ok_or_else(|| {
            format!("ServiceAccount {namespace}/{name} is not the one of a Gateway; use that which Portico keeps, GATEWAY-CLASS")
        })
    }
}
