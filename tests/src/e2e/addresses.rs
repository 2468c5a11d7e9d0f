//! Addresses of Gateways that a fleet owns.

use std::net::Ipv6Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::bench::Case;
use super::fleet::start;
use super::identity::class_of;
use super::manifest::{backend, everything_to, gateway_of, route};
use crate::fleet::{self, Proxy};
use crate::objects::Objects;

/// The class, its profile and the fleet.
const FLEET: &str = "six";
/// The fleet's addresses (unique local, RFC 4193), which are made local as those of the lab's own fleet are.
const BLOCK: &str = "fd00:198:18::/120";

/// Whoever listens on an address of IPv6 must have it, or be let: a local route alone does not do, other than with IPv4 (docs/envoy.md).
const LISTEN_ANYWHERE: &str = "/proc/sys/net/ipv6/ip_nonlocal_bind";

/// Makes the block local, or takes it away again; whether that could be done.
fn local(change: &str) -> Result<bool> {
    let output = Command::new("ip").args(["-6", "route", change, "local", BLOCK, "dev", "lo"]).output().context("cannot run ip")?;
    Ok(output.status.success() && std::fs::write(LISTEN_ANYWHERE, if change == "add" { "1" } else { "0" }).is_ok())
}

/// A pool of IPv6 addresses: a Gateway gets one, the proxy listens on it, and clients are served by pods that have IPv4.
pub async fn of_ipv6_are_served(case: &Case<'_>) -> Result<String> {
    if !local("add")? {
        return Ok("this machine has no IPv6: nothing is tried".to_owned());
    }
    let objects = Objects::connect(&case.bench.session).await?;
    let class = class_of(FLEET, BLOCK, "node");
    objects.apply_all(&class, 1).await?;
    let outcome = served(case).await;
    case.kubectl(&["delete", "gateways", "--all"]).await?;
    objects.delete_all(&class, 1).await?;
    let put_back = local("del")?;
    outcome?;
    ensure!(put_back, "the block cannot be taken away");
    Ok(String::new())
}

async fn served(case: &Case<'_>) -> Result<()> {
    case.apply(&[backend("shop", 1), gateway_of(FLEET, "edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let _process = start(case, &Proxy::of(FLEET, 1, fleet::OPERATOR, &[])).await?;
    let address: Ipv6Addr = case.programmed("edge").await?.parse().context("the Gateway's address")?;
    ensure!(address.segments().starts_with(&[0xfd00, 0x198, 0x18]), "{address} is not the fleet's");
    let reply = case.curl_until(200, &["--globoff", &format!("http://[{address}]/")]).await?;
    ensure!(reply.echo("/host")? == format!("[{address}]"), "the host is {}", reply.echo("/host")?);
    Ok(())
}
