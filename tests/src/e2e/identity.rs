//! Proxies that must prove who they are: by a client certificate, by the token of a Gateway's ServiceAccount.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bench::Case;
use super::fleet::start;
use super::manifest::{backend, everything_to, gateway_of, route};
use super::process::{FIRST_REPLICA, Kept, Replica};
use crate::fleet::{self, Proxy};
use crate::objects::Objects;
use crate::operator::NAMESPACE;

/// The class, its profile and the fleet, beside the lab's own.
const FLEET: &str = "secure";
/// The addresses of that fleet, which are no other's.
const ADDRESSES: &str = "198.18.208.0/28";
/// The name in the operator's certificate.
const OPERATOR: &str = "portico.example.com";

/// An authority and what it signs, as files.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, with its certificate in `ca.pem`.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        // Without a name of its own it would be taken for what it signs.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { folder: tempfile::tempdir()?, issuer };
        authority.write("ca.pem", &authority.issuer.pem())?;
        Ok(authority)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.folder.path().join(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// A certificate for a DNS name, in `NAME.pem`, and its key in `NAME.key`.
    pub fn sign(&self, file: &str, name: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(&format!("{file}.pem"), &certificate.pem())?;
        self.write(&format!("{file}.key"), &key.serialize_pem())
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> String {
        path(self.folder.path(), name)
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// A class of a fleet of its own and its profile, of one name.
pub fn class_of(fleet: &str, addresses: &str, identification: &str) -> [Value; 2] {
    let envoy = json!({"fleet": fleet, "addresses": [addresses], "identification": identification});
    let reference = json!({"group": "portico.dev", "kind": "LoadBalancerProfile", "name": fleet, "namespace": NAMESPACE});
    [
        json!({"apiVersion": "portico.dev/v1alpha1", "kind": "LoadBalancerProfile", "metadata": {"name": fleet, "namespace": NAMESPACE},
            "spec": {"envoy": envoy}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": fleet},
            "spec": {"controllerName": "portico.dev/gateway-controller", "parametersRef": reference}}),
    ]
}

fn class(identification: &str) -> [Value; 2] {
    class_of(FLEET, ADDRESSES, identification)
}

/// A proxy with the right certificate, and one with the right token, get what others do not get; in plain text nobody gets anything.
pub async fn is_proven_by_certificate_or_token(case: &Case<'_>) -> Result<String> {
    let authority = Authority::new()?;
    for (file, name) in [("operator", OPERATOR), ("right", FLEET), ("wrong", "other.example.com")] {
        authority.sign(file, name)?;
    }
    let (chain, key, ca) = (authority.path("operator.pem"), authority.path("operator.key"), authority.path("ca.pem"));
    let own = Kept::new("operator")?;
    let secured = ["--xds-certificate", &chain, "--xds-key", &key, "--xds-client-ca", &ca];
    let mut replica = Replica::start_with(case, &own.program()?, FIRST_REPLICA, &secured).await?;
    let objects = Objects::connect(&case.bench.session).await?;
    let outcome = identities(case, &authority, &objects).await;
    case.kubectl(&["delete", "gateways", "--all"]).await?;
    objects.delete_all(&class("certificate"), 1).await?;
    replica.signal(Signal::SIGTERM)?;
    replica.ended().await?;
    outcome
}

async fn identities(case: &Case<'_>, authority: &Authority, objects: &Objects) -> Result<String> {
    objects.apply_all(&class("certificate"), 1).await?;
    case.apply(&[backend("shop", 1), gateway_of(FLEET, "edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let ca = authority.path("ca.pem");
    let server = ["--ca", &ca, "--server-name", OPERATOR];
    let files = |name: &str| (authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")));
    let ((right, right_key), (wrong, wrong_key)) = (files("right"), files("wrong"));
    let wrong = proxy(2, &[&server[..], &["--certificate", &wrong, "--key", &wrong_key]].concat());
    let none = proxy(3, &server);
    let plain = proxy(4, &[]);
    let _processes = [start(case, &wrong).await?, start(case, &none).await?, start(case, &plain).await?];
    for stranger in [&wrong, &none, &plain] {
        gets_nothing(case, stranger).await?;
    }
    case.until("the Gateway says that proxies were turned away, and why", async || {
        let gateway = case.get(&["gateway", "edge"]).await?.to_string();
        Ok(gateway
            .contains("was turned away: the fleet secure is for proxies whose client certificate has the DNS name secure")
            .then_some(()))
    })
    .await?;
    let right = proxy(1, &[&server[..], &["--certificate", &right, "--key", &right_key]].concat());
    let process = start(case, &right).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    drop(process);

    // The same fleet by tokens: of the Gateway's own ServiceAccount, and of another one.
    objects.apply_all(&class("serviceAccountToken"), 1).await?;
    let account = format!("edge-{FLEET}");
    case.until("the Gateway has its ServiceAccount", async || Ok(case.kubectl(&["get", "serviceaccount", &account]).await.ok())).await?;
    for (file, account) in [("gateway", account.as_str()), ("default", "default")] {
        let token = case.kubectl(&["create", "token", account, "--audience", "portico"]).await?;
        authority.write(&format!("{file}.token"), token.trim())?;
    }
    let (gateway, default) = (authority.path("gateway.token"), authority.path("default.token"));
    let wrong = proxy(5, &[&server[..], &["--token-file", &default]].concat());
    let _wrong = start(case, &wrong).await?;
    gets_nothing(case, &wrong).await?;
    let right = proxy(6, &[&server[..], &["--token-file", &gateway]].concat());
    let _right = start(case, &right).await?;
    case.until("the proxy has the Gateway's configuration", async || {
        let resources = right.admin.resources().await?;
        Ok(resources.iter().any(|resource| resource.starts_with("listener ")).then_some(()))
    })
    .await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    ensure!(wrong.admin.resources().await?.is_empty(), "a stranger has {:?}", wrong.admin.resources().await?);
    Ok(String::new())
}

fn proxy(number: u16, more: &[&str]) -> Proxy {
    let server: SocketAddr = fleet::REPLICA;
    Proxy::of(FLEET, number, server, more)
}

/// Waits until a proxy has been turned away, and looks that it was told nothing.
async fn gets_nothing(case: &Case<'_>, proxy: &Proxy) -> Result<()> {
    case.until(&format!("{} is turned away", proxy.name), async || {
        let failures = proxy.admin.total(r"^cluster_manager\.cds\.update_failure$").await?;
        ensure!(failures > 0, "it has asked without an answer so far");
        Ok(Some(()))
    })
    .await?;
    let resources = proxy.admin.resources().await?;
    ensure!(resources.is_empty(), "{} has {resources:?}", proxy.name);
    Ok(())
}
