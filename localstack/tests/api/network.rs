//! Network load balancers over a restart, and in the inventory.

use serde_json::{Value, json};

use super::harness::{Api, Service, config, element};
use super::restart::{Folder, everything, kept_in, start};
use crate::dataplane::harness::{PORT, get, soon};

/// An application load balancer that answers by itself, and a network load balancer with static addresses before it; the first node of the latter.
async fn build(api: &mut Api) -> Value {
    let subnets = api.call(Service::Ec2, "DescribeSubnets", "Filter.1.Name=tag-key&Filter.1.Value.1=kubernetes.io/role/internal-elb").await;
    let row = |text: &str| Some((element(text, "cidrBlock")?, element(text, "subnetId")?));
    // In the order of their zones.
    let mut rows: Vec<(String, String)> = subnets.split("<item>").filter_map(row).collect();
    rows.sort();
    let (block, subnets) = (&rows[0].0, [&rows[0].1, &rows[1].1]);
    let private = format!("{}.77", block.rsplit_once('.').unwrap().0);
    let vpc = element(&api.call(Service::Ec2, "DescribeVpcs", "").await, "vpcId").unwrap();
    let group = api.open_group(&vpc).await;
    let place = format!("Subnets.member.1={}&Subnets.member.2={}&SecurityGroups.member.1={group}", subnets[0], subnets[1]);
    let front = api.call(Service::Elb, "CreateLoadBalancer", &format!("Name=front&Scheme=internal&{place}")).await;
    let front = element(&front, "LoadBalancerArn").unwrap();
    let answer = "DefaultActions.member.1.Type=fixed-response&DefaultActions.member.1.FixedResponseConfig.StatusCode=200&\
                  DefaultActions.member.1.FixedResponseConfig.MessageBody=front";
    api.call(Service::Elb, "CreateListener", &format!("LoadBalancerArn={front}&Protocol=HTTP&Port={PORT}&{answer}")).await;

    let targets = format!("Name=front&Protocol=TCP&TargetType=alb&Port={PORT}&VpcId={vpc}");
    let targets = api.call(Service::Elb, "CreateTargetGroup", &targets).await;
    let targets = element(&targets, "TargetGroupArn").unwrap();
    api.call(Service::Elb, "RegisterTargets", &format!("TargetGroupArn={targets}&Targets.member.1.Id={front}")).await;
    let place = format!("SubnetMappings.member.1.SubnetId={}&SubnetMappings.member.1.PrivateIPv4Address={private}", subnets[0]);
    let place = format!("{place}&SubnetMappings.member.2.SubnetId={}", subnets[1]);
    let net = api.call(Service::Elb, "CreateLoadBalancer", &format!("Name=net&Type=network&Scheme=internal&{place}")).await;
    assert_eq!(element(&net, "PrivateIPv4Address"), Some(private));
    let name = element(&net, "DNSName").unwrap();
    let net = element(&net, "LoadBalancerArn").unwrap();
    let forward = format!("DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={targets}");
    api.call(Service::Elb, "CreateListener", &format!("LoadBalancerArn={net}&Protocol=TCP&Port={PORT}&{forward}")).await;
    api.admin("GET", &format!("dns?name=us-east-1a.{name}"), "").await["addresses"][0].clone()
}

/// The body that the network load balancer's node brings, when it has a healthy target.
async fn served(node: &Value) -> String {
    let at = (node.as_str().unwrap().parse::<std::net::IpAddr>().unwrap(), PORT).into();
    get(at, "h", "/").await.body
}

#[tokio::test]
async fn a_restart_loses_none_of_it() {
    let folder = Folder::new("network");
    let config = kept_in(&folder.file(), 5);
    let (cloud, mut api) = start(&config).await;
    let node = build(&mut api).await;
    // An application load balancer without cross-zone targets is in all zones: its health check decides.
    assert_eq!(served(&node).await, "front");
    let before = everything(&mut api).await;
    let inventory = api.admin("GET", "inventory", "").await;
    cloud.shutdown().await;

    let (cloud, mut api) = start(&config).await;
    let listening = async {
        while api.admin("GET", "listeners", "").await.as_array().map_or(0, Vec::len) < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon(listening).await;
    assert_eq!(everything(&mut api).await, before);
    assert_eq!(api.admin("GET", "inventory", "").await, inventory);
    assert_eq!(served(&node).await, "front");
    assert_eq!(api.admin("GET", "integrity", "").await, json!([]));
    cloud.shutdown().await;
}

/// Two clouds with other ids and addresses that were brought to the same state have equal inventories.
#[tokio::test]
async fn inventories_leave_out_what_is_made_up() {
    let mut inventories = Vec::new();
    for seed in [1, 2] {
        let cloud = portico_cloud::Cloud::start(config(seed)).await.unwrap();
        let mut api = Api::new(&cloud);
        build(&mut api).await;
        inventories.push(api.admin("GET", "inventory", "").await);
        cloud.shutdown().await;
    }
    assert_eq!(inventories[0], inventories[1]);
    let net = &inventories[0]["load_balancers"]["lb/net"];
    assert_eq!((&net["kind"], net["nodes"].as_array().map(Vec::len)), (&json!("network"), Some(2)), "{net:#}");
    assert!(inventories[0]["target_groups"]["tg/front"]["targets"].get(format!("lb/front:{PORT}")).is_some());
}
