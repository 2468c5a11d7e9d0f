//! Keeps a pod's volumes: prepares them before its containers start, and renews them when a Secret, a ConfigMap, a label
//! or a token changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube_client::Api;
use kube_client::api::PostParams;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Context;
use super::environment::PodFacts;
use super::pod::PodFolder;
use super::volumes::{self, Content, TokenWish, Tokens};

/// Pause before a token that could not be had is asked for again.
const TOKEN_RETRY: Duration = Duration::from_millis(500);

/// The volumes of one pod.
pub struct VolumeKeeper {
    context: Arc<Context>,
    pod: watch::Receiver<Arc<Pod>>,
    folder: Arc<PodFolder>,
    tokens: BTreeMap<TokenWish, (String, Instant)>,
    written: BTreeMap<String, Content>,
}

impl VolumeKeeper {
    /// The keeper of a pod whose volumes are not prepared yet.
    pub fn new(context: Arc<Context>, pod: watch::Receiver<Arc<Pod>>, folder: Arc<PodFolder>) -> Self {
        Self { context, pod, folder, tokens: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// Prepares every volume, waiting for what they refer to.
    pub async fn prepare(&mut self) {
        let mut references = self.context.references.changes();
        let mut said = String::new();
        loop {
            references.mark_unchanged();
            self.pod.mark_unchanged();
            let retry = self.renew_tokens().await;
            match self.write() {
                Ok(()) => return,
                Err(message) if message == said => {}
                Err(message) => {
                    self.context.warn(&self.pod.borrow(), "FailedMount", "Mounting", &message);
                    said = message;
                }
            }
            tokio::select! {
                _ = references.changed() => {}
                _ = self.pod.changed() => {}
                () = tokio::time::sleep_until(retry), if retry <= Instant::now() + TOKEN_RETRY => {}
            }
        }
    }

    /// Keeps the prepared volumes up to date.
    pub async fn renew(&mut self) -> std::convert::Infallible {
        let mut references = self.context.references.changes();
        loop {
            references.mark_unchanged();
            self.pod.mark_unchanged();
            let next = self.renew_tokens().await;
            // What cannot be had any more leaves the files as they are, as in Kubernetes.
            if let Err(message) = self.write() {
                tracing::debug!(pod = self.folder.pod_key, message, "renewing volumes");
            }
            tokio::select! {
                _ = references.changed() => {}
                changed = self.pod.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let pod = self.pod.borrow().clone();
        let (pod_ip, host_ip) = (self.folder.pod_ip.to_string(), self.context.config.node_address.to_string());
        let facts = PodFacts { pod: &pod, pod_ip: &pod_ip, host_ip: &host_ip };
        let tokens: Tokens = self.tokens.iter().map(|(wish, (token, _))| (wish.clone(), token.clone())).collect();
        let mut missing = Vec::new();
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let name = &volume.name;
            let content = match volumes::content(volume, facts, &self.context.references, &tokens) {
                Ok(content) => content,
                Err(error) => {
                    missing.push(format!("MountVolume.SetUp failed for volume \"{name}\" : {error}"));
                    continue;
                }
            };
            if self.written.get(name) == Some(&content) {
                continue;
            }
            match volumes::prepare(&self.folder.volume_folder(name), &content) {
                Ok(prepared) => {
                    self.folder.add_volume(name, prepared);
                    self.written.insert(name.clone(), content);
                }
                Err(error) => {
                    let folder = self.folder.volume_folder(name);
                    missing.push(format!("MountVolume.SetUp failed for volume \"{name}\" : {}: {error}", folder.display()));
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
    }

    /// Gets the tokens that are missing or old. Returns when to look again.
    async fn renew_tokens(&mut self) -> Instant {
        let pod = self.pod.borrow().clone();
        // Far enough for a pod without tokens.
        let mut next = Instant::now() + Duration::from_secs(24 * 3600);
        for wish in volumes::token_wishes(&pod) {
            if let Some((_, renewal)) = self.tokens.get(&wish)
                && *renewal > Instant::now()
            {
                next = next.min(*renewal);
                continue;
            }
            match self.request_token(&pod, &wish).await {
                Ok(token) => {
                    // Kubernetes: renewed after 80 % of its time.
                    let lifetime = u64::try_from(wish.expiration_seconds).unwrap_or(3600);
                    let renewal = Instant::now() + Duration::from_secs(lifetime * 8 / 10);
                    next = next.min(renewal);
                    self.tokens.insert(wish, (token, renewal));
                }
                Err(error) => {
                    tracing::debug!(pod = self.folder.pod_key, %error, "requesting a ServiceAccount's token");
                    next = next.min(Instant::now() + TOKEN_RETRY);
                }
            }
        }
        next
    }

    async fn request_token(&self, pod: &Pod, wish: &TokenWish) -> Result<String, String> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), namespace);
        let bound_object_ref = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        let spec = TokenRequestSpec {
            audiences: Some(wish.audience.iter().cloned().collect()),
            bound_object_ref: Some(bound_object_ref),
            expiration_seconds: Some(wish.expiration_seconds),
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await;
        let status = answer.map_err(|error| error.to_string())?.status;
        status.and_then(|status| status.token).ok_or_else(|| "no token in the answer".to_owned())
    }
}
