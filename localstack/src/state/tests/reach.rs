//! Security groups, zones and addresses decide who reaches whom.

use super::Fixture;
use crate::config::CloudConfig;
use crate::dataplane::config::Reachability;
use crate::projection;
use crate::service::Service;

/// The reachability of the only target.
fn reach(fixture: &Fixture) -> Reachability {
    projection::project(&fixture.state).target_groups.values().next().unwrap().targets[0].reachability
}

#[test]
fn security_groups_decide_what_a_balancer_reaches() {
    // Which of the two rules towards the node's group, from the balancer's group or from its addresses, over which ports.
    let own = "&IpPermissions.1.Groups.1.GroupId=LB";
    let rows = [
        ("none", None, Reachability::Blocked),
        ("from the group", Some(format!("8080&IpPermissions.1.ToPort=8080{own}")), Reachability::Allowed),
        ("a range", Some(format!("8000&IpPermissions.1.ToPort=9000{own}")), Reachability::Allowed),
        ("another port", Some(format!("80&IpPermissions.1.ToPort=80{own}")), Reachability::Blocked),
        (
            "from everywhere",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0".into()),
            Reachability::Allowed,
        ),
        (
            "from both zones",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/16".into()),
            Reachability::Allowed,
        ),
        (
            "from one zone",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/20".into()),
            Reachability::Blocked,
        ),
        (
            "from elsewhere",
            Some("8080&IpPermissions.1.ToPort=8080&IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24".into()),
            Reachability::Blocked,
        ),
    ];
    for (name, rule, expected) in rows {
        let mut fixture = Fixture::new(CloudConfig::default());
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id=198.19.0.77")).unwrap();
        let (nodes, own) = (fixture.group("nodes"), fixture.group("default"));
        if let Some(rule) = rule {
            let ports = rule.replace("LB", &own);
            let call = format!("GroupId={nodes}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={ports}");
            fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &call).unwrap();
        }
        assert_eq!(reach(&fixture), expected, "{name}");
        // Without a way out nothing is reached.
        let out = format!("GroupId={own}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
        fixture.call(Service::Ec2, "RevokeSecurityGroupEgress", &out).unwrap();
        assert_eq!(reach(&fixture), Reachability::Blocked, "{name}, no way out");
    }
}

#[test]
fn the_targets_port_and_the_health_checks_are_judged_apart() {
    for (open, traffic, check) in
        [(8080, Reachability::Allowed, Reachability::Blocked), (9999, Reachability::Blocked, Reachability::Allowed)]
    {
        let mut fixture = Fixture::new(CloudConfig::default());
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        fixture.elb("ModifyTargetGroup", &format!("TargetGroupArn={group}&HealthCheckPort=9999")).unwrap();
        fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id=198.19.0.77")).unwrap();
        let (nodes, own) = (fixture.group("nodes"), fixture.group("default"));
        let call = format!(
            "GroupId={nodes}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={open}&IpPermissions.1.ToPort={open}\
             &IpPermissions.1.Groups.1.GroupId={own}"
        );
        fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &call).unwrap();
        let target = projection::project(&fixture.state).target_groups.values().next().unwrap().targets[0].clone();
        assert_eq!((target.reachability, target.check_reachability), (traffic, check), "open: {open}");
    }
}

#[test]
fn an_address_that_no_interface_holds_is_never_reached() {
    for (address, zone, expected) in
        [("10.0.0.99", "", Reachability::Blocked), ("192.168.0.9", "&Targets.member.1.AvailabilityZone=all", Reachability::Allowed)]
    {
        let mut fixture = Fixture::new(CloudConfig { open_nodes: true, ..CloudConfig::default() });
        let balancer = fixture.balancer("web", "ab");
        let (listener, group) = (fixture.listener(&balancer, 80), fixture.target_group("g"));
        fixture.forward(&listener, 1, &group).unwrap();
        fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={address}{zone}")).unwrap();
        assert_eq!(reach(&fixture), expected, "{address}");
    }
}

#[test]
fn who_reaches_a_balancer_follows_from_its_groups() {
    let mut fixture = Fixture::new(CloudConfig::default());
    fixture.balancer("web", "ab");
    let own = fixture.group("default");
    let ingress = |fixture: &Fixture| projection::project(&fixture.state).load_balancers[0].ingress.clone();
    // The default group lets in its own members only: the balancer's two interfaces.
    assert_eq!(ingress(&fixture).len(), 2);
    let call = format!(
        "GroupId={own}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=81&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"
    );
    fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &call).unwrap();
    let open: Vec<_> = ingress(&fixture).into_iter().filter(|rule| rule.source.prefix_len() == 0).collect();
    assert_eq!((open.len(), open[0].from_port, open[0].to_port), (1, 80, 81));
    let udp = call.replace("tcp", "udp");
    fixture.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &udp).unwrap();
    assert_eq!(ingress(&fixture).len(), 3, "UDP opens nothing");
}
