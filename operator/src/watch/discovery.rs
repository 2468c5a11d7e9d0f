//! Which kinds the API server has, and waiting for those that it lacks.

use std::collections::BTreeSet;
use std::time::Duration;

use kube_client::Client;
use kube_client::error::Error;
use portico_crds::Kind;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{REQUIRED, WATCHED};

/// The kinds that are installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed(pub BTreeSet<Kind>);

impl Installed {
    /// Required kinds that are missing.
    pub fn missing(&self) -> Vec<Kind> {
        REQUIRED.into_iter().filter(|kind| !self.0.contains(kind)).collect()
    }
}

/// Asks the API server which kinds it has.
pub struct Discovery {
    client: Client,
}

impl Discovery {
    /// Discovery through a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The kinds of [`WATCHED`] that are served now, in the version in which we read them.
    pub async fn look(&self) -> Result<Installed, Error> {
        let mut installed = BTreeSet::new();
        let groups: BTreeSet<String> = WATCHED.into_iter().map(Kind::api_version).collect();
        for api_version in groups {
            let listed = if api_version.contains('/') {
                self.client.list_api_group_resources(&api_version).await
            } else {
                self.client.list_core_api_resources(&api_version).await
            };
            match listed {
                Ok(list) => {
                    let names: BTreeSet<&str> = list.resources.iter().map(|resource| resource.name.as_str()).collect();
                    installed.extend(WATCHED.into_iter().filter(|kind| kind.api_version() == api_version && names.contains(kind.plural())));
                }
                Err(Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Installed(installed))
    }

    /// Waits until the required kinds are there. Says once what is missing, and to `waiting` what is waited for.
    pub async fn wait(&self, pause: Duration, stop: &CancellationToken, waiting: impl Fn(String)) -> Option<Installed> {
        let mut told = Vec::new();
        let mut failing = false;
        loop {
            match self.look().await {
                Ok(installed) => {
                    let missing = installed.missing();
                    if missing.is_empty() {
                        if !told.is_empty() {
                            info!("the Gateway API CRDs are there now");
                        }
                        return Some(installed);
                    }
                    if missing != told {
                        let names = missing.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
                        waiting(format!("the Gateway API CRDs: {names}"));
                        warn!(missing = names, "Gateway API CRDs are not installed (v1 is needed); waiting for them");
                        told = missing;
                    }
                }
                Err(error) => {
                    if !failing {
                        waiting("the API server".to_owned());
                        warn!(%error, "the API server cannot be asked for its kinds; trying again");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
