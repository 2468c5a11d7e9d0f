//! The way to a cluster's API server, for every command that talks to one.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use kube_client::Config;
use kube_client::config::{KubeConfigOptions, Kubeconfig};

use crate::cli::ClusterArguments;

/// How long a connection may take to be made. Every write is bounded and retried by a queue of ours; a watch has its own backoff.
const CONNECT: Duration = Duration::from_secs(10);

/// The kubeconfig that was named, or that is found, or the Pod's service account.
pub async fn config(arguments: &ClusterArguments) -> anyhow::Result<Config> {
    let mut config = find(arguments.kubeconfig.as_deref(), arguments.context.as_deref()).await?;
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

async fn find(path: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    match (path, context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).with_context(|| format!("the kubeconfig {} cannot be read", path.display()))?;
            let used = Config::from_custom_kubeconfig(file, &options).await;
            used.with_context(|| format!("the kubeconfig {} cannot be used", path.display()))
        }
        (None, Some(context)) => {
            Config::from_kubeconfig(&options).await.with_context(|| format!("the kubeconfig's context {context} cannot be used"))
        }
        (None, None) => Config::infer()
            .await
            .context("no cluster is known: name one with --kubeconfig or KUBECONFIG, or run in a Pod with a service account"),
    }
}
