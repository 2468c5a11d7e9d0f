//! Deleting a Gateway leaves nothing behind, and takes nothing that is not ours.

use anyhow::{Result, ensure};

use super::bench::{Case, FOREIGN};
use super::manifest::{backend, everything_to, gateway, route};
use crate::cloud::{difference, holdings};

/// Somebody else's load balancer with a listener and a target group, made by boto3 beside ours, is untouched.
pub async fn empties_the_cloud_but_for_what_is_not_ours(case: &Case<'_>) -> Result<String> {
    case.boto3(&format!(
        "subnets = ec2.describe_subnets(Filters=[{{'Name': 'tag:kubernetes.io/role/elb', 'Values': ['1']}}])['Subnets']
lb = elb.create_load_balancer(Name='{FOREIGN}', Subnets=[s['SubnetId'] for s in subnets[:2]])['LoadBalancers'][0]
group = elb.create_target_group(Name='{FOREIGN}', Protocol='HTTP', Port=80, VpcId=lb['VpcId'], TargetType='ip')['TargetGroups'][0]
elb.create_listener(LoadBalancerArn=lb['LoadBalancerArn'], Protocol='HTTP', Port=80,
                    DefaultActions=[{{'Type': 'forward', 'TargetGroupArn': group['TargetGroupArn']}}])"
    ))
    .await?;
    let outcome = delete_ours(case).await;
    case.boto3(&format!(
        "lb = elb.describe_load_balancers(Names=['{FOREIGN}'])['LoadBalancers'][0]
for listener in elb.describe_listeners(LoadBalancerArn=lb['LoadBalancerArn'])['Listeners']:
    elb.delete_listener(ListenerArn=listener['ListenerArn'])
elb.delete_load_balancer(LoadBalancerArn=lb['LoadBalancerArn'])
elb.delete_target_group(TargetGroupArn=elb.describe_target_groups(Names=['{FOREIGN}'])['TargetGroups'][0]['TargetGroupArn'])"
    ))
    .await?;
    outcome
}

async fn delete_ours(case: &Case<'_>) -> Result<String> {
    let before = holdings(&case.cloud_state().await?);
    case.apply(&[backend("shop", 1), gateway("edge"), route("shop", "edge", &everything_to("shop"))].concat()).await?;
    case.deployments_ready(&["shop"]).await?;
    let address = case.programmed("edge").await?;
    case.curl_until(200, &[&format!("http://{address}/")]).await?;
    ensure!(holdings(&case.cloud_state().await?) != before, "the Gateway made nothing");

    // kubectl waits until the object is gone, and so for the finalizer.
    case.kubectl(&["delete", "gateway", "edge", "--timeout=60s"]).await?;
    case.until("the cloud is as it was", async || {
        let after = holdings(&case.cloud_state().await?);
        ensure!(after == before, "left: {}", difference(&before, &after));
        Ok(Some(()))
    })
    .await?;
    ensure!(case.curl(&["--max-time", "2", &format!("http://{address}/")]).await?.is_none(), "the address still answers");
    Ok(String::new())
}
