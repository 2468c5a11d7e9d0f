//! `portico cloud`: the embedded cloud alone.

use anyhow::Context;
use portico_cloud::{AddressPool, Cloud, CloudConfig, PodNetwork, Settings, Times};

use crate::cli::CloudArguments;
use crate::output::{DIM, HEADING, line, styled};

/// Runs the command.
pub async fn run(arguments: CloudArguments) -> anyhow::Result<()> {
    let stop = crate::shutdown::on_signal()?;
    let config = config(&arguments)?;
    let cloud = Cloud::start(config).await.context("the cloud cannot start")?;
    let endpoint = cloud.endpoint();
    line(format_args!("{} {endpoint}", styled(HEADING, "The cloud is up at")))?;
    line(format_args!(
        "It answers as ELBv2, EC2, ACM, STS, S3, Route 53, WAFv2, Shield, Service Quotas and Resource Groups Tagging;\nload balancers listen in {}.",
        arguments.addresses
    ))?;
    line(format_args!("{}", styled(DIM, "For any AWS client:")))?;
    line(format_args!(
        "export AWS_ENDPOINT_URL={endpoint} AWS_REGION={} AWS_ACCESS_KEY_ID=portico AWS_SECRET_ACCESS_KEY=portico",
        arguments.region
    ))?;
    line(format_args!("{}", styled(DIM, "What it was asked, and where load balancers listen:")))?;
    line(format_args!("curl -s {endpoint}/_cloud/calls"))?;
    line(format_args!("curl -s {endpoint}/_cloud/listeners"))?;
    line(format_args!("{}", styled(DIM, "Ctrl-C ends it and everything in it.")))?;
    stop.cancelled().await;
    cloud.shutdown().await;
    Ok(())
}

fn config(arguments: &CloudArguments) -> anyhow::Result<CloudConfig> {
    let mut config = CloudConfig {
        listen: arguments.listen,
        region: arguments.region.clone(),
        account: arguments.account.clone(),
        addresses: pool(&arguments.addresses)?,
        cluster: arguments.cluster.clone(),
        seed: arguments.seed,
        state_file: arguments.state.clone(),
        ..CloudConfig::default()
    };
    if let Some(factor) = arguments.realistic_times {
        config.times = Times::realistic().scaled(factor);
    }
    if let Some(provisioning) = arguments.provisioning {
        config.times.provisioning = provisioning;
    }
    if let Some(text) = &arguments.settings {
        let settings: Settings = serde_json::from_str(text).context("--settings")?;
        settings.apply(&mut config).map_err(|error| anyhow::anyhow!("--settings: {error}"))?;
    }
    if !arguments.pod_networks.is_empty() {
        config.pod_networks = arguments.pod_networks.iter().map(|text| pod_network(text)).collect::<anyhow::Result<_>>()?;
    }
    Ok(config)
}

/// A factor on times.
pub fn factor(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|factor| (0.0..=100.0).contains(factor)).ok_or_else(|| "not a number from 0 to 100".to_owned())
}

/// The range in which load balancers listen.
pub fn pool(text: &str) -> anyhow::Result<AddressPool> {
    let cidr = text.parse().with_context(|| format!("--addresses {text}: not a CIDR such as 127.1.0.0/16"))?;
    Ok(AddressPool { cidr })
}

/// `CIDR` or `CIDR=ZONE/NODE`.
fn pod_network(text: &str) -> anyhow::Result<PodNetwork> {
    let wrong = || format!("--pods {text}: neither CIDR nor CIDR=ZONE/NODE, such as 198.19.0.0/16=a/node-a");
    let (cidr, place) = text.split_once('=').unwrap_or((text, "a/node-a"));
    let cidr = cidr.parse().with_context(wrong)?;
    let (zone, node) = place.split_once('/').with_context(wrong)?;
    let mut letters = zone.chars();
    match (letters.next(), letters.next(), node.is_empty()) {
        (Some(zone), None, false) => Ok(PodNetwork { cidr, zone, node: node.to_owned() }),
        _ => anyhow::bail!(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_aws_own_or_a_part_of_them() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            cloud: CloudArguments,
        }
        let provisioning = |arguments: &[&str]| {
            let line = Line::try_parse_from([&["cloud"], arguments].concat()).ok()?;
            Some(config(&line.cloud).unwrap().times.provisioning.as_secs_f64())
        };
        assert_eq!(provisioning(&[]), Some(0.0));
        assert_eq!(provisioning(&["--realistic-times"]), Some(150.0));
        assert_eq!(provisioning(&["--realistic-times=0.1"]), Some(15.0));
        assert_eq!(provisioning(&["--realistic-times=0.1", "--provisioning", "2s"]), Some(2.0));
        assert!(
            ["--realistic-times=-1", "--realistic-times=NaN", "--realistic-times=x"].iter().all(|wrong| provisioning(&[wrong]).is_none())
        );
    }

    #[test]
    fn pod_networks_are_read_with_their_place() {
        let network = pod_network("198.19.0.0/16=b/node-1").unwrap();
        assert_eq!((network.cidr.to_string(), network.zone, network.node), ("198.19.0.0/16".into(), 'b', "node-1".into()));
        assert_eq!(pod_network("10.0.0.0/8").unwrap().zone, 'a');
        for wrong in ["", "x", "10.0.0.0/8=", "10.0.0.0/8=ab/n", "10.0.0.0/8=a/"] {
            assert!(pod_network(wrong).is_err(), "{wrong}");
        }
    }
}
