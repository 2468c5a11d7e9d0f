//! The authorities that a proxy's host trusts: `wellKnownCACertificates: System`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::bench::{Case, condition};
use super::fleet::start_by;
use super::identity::{Authority, class_of};
use super::manifest::{gateway_of, route, secure_backend};
use crate::fleet::{self, Programs, Proxy};
use crate::objects::Objects;

/// The class, its profile and the fleet.
const FLEET: &str = "system";
/// The addresses of that fleet, which are no other's.
const ADDRESSES: &str = "198.18.208.16/28";
/// The name that both backends are asked for.
const NAME: &str = "vault.example.com";
/// The name of another host.
const OTHER_NAME: &str = "safe.example.com";

/// A program that runs Envoy on a host whose store of authorities is this file. (It has a file system of its own, as any program may that root starts.)
fn with_store(folder: &Path, envoy: &Path, store: &str) -> Result<PathBuf> {
    let mount = "mount -t tmpfs none /etc/ssl/certs && cp \"$0\" /etc/ssl/certs/ca-certificates.crt && exec \"$@\"";
    let script =
        format!("#!/bin/sh\nexec unshare --mount --propagation private -- sh -c '{mount}' '{store}' '{}' \"$@\"\n", envoy.display());
    let file = folder.join("envoy");
    std::fs::write(&file, script).context("the program")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).context("the program")?;
    Ok(file)
}

/// A backend that serves with a Secret of its own.
fn backend(name: &str) -> String {
    secure_backend(name).replacen("secretName: serving", &format!("secretName: {name}"), 1)
}

/// The policy by which a Service is trusted as the proxy's host trusts anybody.
fn policy(service: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"name": service}, "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": service}],
        "validation": {"hostname": NAME, "wellKnownCACertificates": "System"}}})
}

/// Three backends with certificates: of an authority that the proxy's host trusts, of one that it does not, and of the first for another name. Only the first gets requests.
pub async fn of_the_proxy_s_host_are_those_of_its_store(case: &Case<'_>) -> Result<String> {
    let objects = Objects::connect(&case.bench.session).await?;
    let class = class_of(FLEET, ADDRESSES, "node");
    objects.apply_all(&class, 1).await?;
    let outcome = trusted(case).await;
    case.kubectl(&["delete", "gateways", "--all"]).await?;
    objects.delete_all(&class, 1).await?;
    outcome
}

async fn trusted(case: &Case<'_>) -> Result<String> {
    let (known, unknown) = (Authority::new()?, Authority::new()?);
    let backends = [("known", &known, NAME), ("unknown", &unknown, NAME), ("another", &known, OTHER_NAME)];
    let (mut manifests, mut rules) = (vec![gateway_of(FLEET, "edge")], "  rules:\n".to_owned());
    for (name, authority, hostname) in backends {
        authority.sign(name, hostname)?;
        let (certificate, key) = (authority.path(&format!("{name}.pem")), authority.path(&format!("{name}.key")));
        case.kubectl(&["create", "secret", "tls", name, &format!("--cert={certificate}"), &format!("--key={key}")]).await?;
        manifests.push(backend(name));
        rules.push_str(&format!("  - matches: [{{path: {{value: /{name}}}}}]\n    backendRefs: [{{name: {name}, port: 8080}}]\n"));
        case.apply(&policy(name).to_string()).await?;
    }
    manifests.push(route("vaults", "edge", &rules));
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&backends.map(|(name, ..)| name)).await?;

    let programs = case.bench.session.fleet.as_ref().context("this lab has no fleet")?;
    let folder = tempfile::tempdir()?;
    let envoy = with_store(folder.path(), &programs.envoy, &known.path("ca.pem"))?;
    let programs = Programs { envoy, portico: programs.portico.clone() };
    let proxy = Proxy::of(FLEET, 1, fleet::OPERATOR, &[]);
    let _process = start_by(case, &proxy, &programs).await?;
    let address = case.programmed("edge").await?;
    let reply = case.curl_until(200, &[&format!("http://{address}/known")]).await?;
    ensure!(reply.echo("/tls/serverName")? == NAME, "the backend was asked for {}", reply.echo("/tls/serverName")?);
    for (name, counted) in [("unknown", "error"), ("another", "san")] {
        case.until(&format!("{name} is refused for its certificate"), async || {
            let reply = case.curl(&[&format!("http://{address}/{name}")]).await?.context("no answer")?;
            ensure!(reply.status == 503, "it is answered {}: {}", reply.status, reply.body);
            let refused = proxy.admin.total(&format!("{name}_8080.ssl.fail_verify_{counted}$")).await?;
            ensure!(refused > 0, "it is answered {}", reply.body);
            Ok(Some(()))
        })
        .await?;
        let policy = case.get(&["backendtlspolicy", name]).await?;
        let accepted = condition(policy.pointer("/status/ancestors/0/conditions"), "Accepted");
        ensure!(accepted.as_deref() == Some("True"), "{name}: Accepted is {accepted:?}");
    }
    let reply = case.curl(&[&format!("http://{address}/known")]).await?.context("no answer")?;
    ensure!(reply.status == 200, "the trusted one is answered {}", reply.status);
    Ok(String::new())
}
