//! Who a proxy is: what it says, and what it can show for it.

use async_trait::async_trait;
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::envoy::Identification;
use portico_providers::UnitId;
use std::sync::Arc;
use tonic::Status;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Says whose a ServiceAccount's token is (`authentication.k8s.io` TokenReview).
#[async_trait]
pub trait TokenReviewer: Send + Sync {
    /// The Gateway whose ServiceAccount the token was given to, as it is kept by Portico; with the reason if it is no such token.
    async fn review(&self, token: &str) -> Result<NamespacedName, String>;
}

/// What a connection shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// DNS names and URIs of the client's certificate, which was checked in the handshake.
    pub names: Vec<String>,
}

impl Credentials {
    /// Reads the certificate that a client showed, in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        let Ok(certificate) = Certificate::from_der(der) else { return Self::default() };
        let extensions = certificate.tbs_certificate.extensions.unwrap_or_default();
        let names = extensions
            .iter()
            .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
            .flat_map(|names| names.0)
            .filter_map(|name| match name {
                GeneralName::DnsName(name) => Some(name.to_string()),
                GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
                _ => None,
            });
        Self { names: names.collect() }
    }
}

/// Decides whether a proxy may have a fleet's configuration: all of it (`None`), or one unit's.
pub(crate) async fn identify(
    fleet: &str,
    identification: Identification,
    credentials: &Credentials,
    token: Option<&str>,
    reviewer: Option<&Arc<dyn TokenReviewer>>,
) -> Result<Option<UnitId>, Status> {
    match identification {
        Identification::Node => Ok(None),
        Identification::Certificate => {
            if credentials.names.iter().any(|name| name == fleet) {
                return Ok(None);
            }
            Err(Status::permission_denied(format!(
                "the fleet {fleet} is for proxies whose client certificate has the DNS name {fleet} among its subject alternative names"
            )))
        }
        Identification::ServiceAccountToken => {
            let Some(token) = token else {
                return Err(Status::unauthenticated(format!(
                    "the fleet {fleet} is for proxies that send the token of a Gateway's ServiceAccount (authorization: Bearer …)"
                )));
            };
            let reviewer = reviewer.ok_or_else(|| Status::unavailable("tokens cannot be reviewed yet"))?;
            reviewer.review(token).await.map(|gateway| Some(UnitId::Gateway(gateway))).map_err(Status::unauthenticated)
        }
    }
}
