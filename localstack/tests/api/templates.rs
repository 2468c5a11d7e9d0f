//! Calls that are right, with holes for what exists: `{lb}` is the ARN of some load balancer, `{n}` a small number, and so on.

use super::harness::Service::{self, Acm, Ec2, Elb, Sts, Tagging};

const ANY: &str = "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort={port}&IpPermissions.1.";

/// Service, operation, parameters.
pub const TEMPLATES: &[(Service, &str, &str)] = &[
    (Elb, "CreateLoadBalancer", "Name=lb{n}&Subnets.member.1={public}&Subnets.member.2={public}&SecurityGroups.member.1={sg}"),
    (
        Elb,
        "CreateLoadBalancer",
        "Name=lb{n}&Scheme=internal&SubnetMappings.member.1.SubnetId={public}&SubnetMappings.member.2.SubnetId={public}",
    ),
    (Elb, "DeleteLoadBalancer", "LoadBalancerArn={lb}"),
    (Elb, "DescribeLoadBalancers", "LoadBalancerArns.member.1={lb}"),
    (Elb, "DescribeLoadBalancers", "PageSize=1"),
    (Elb, "DescribeLoadBalancerAttributes", "LoadBalancerArn={lb}"),
    (
        Elb,
        "ModifyLoadBalancerAttributes",
        "LoadBalancerArn={lb}&Attributes.member.1.Key=idle_timeout.timeout_seconds&Attributes.member.1.Value=6{n}",
    ),
    (Elb, "SetSecurityGroups", "LoadBalancerArn={lb}&SecurityGroups.member.1={sg}"),
    (Elb, "SetSubnets", "LoadBalancerArn={lb}&Subnets.member.1={public}&Subnets.member.2={public}"),
    (Elb, "SetIpAddressType", "LoadBalancerArn={lb}&IpAddressType=ipv4"),
    (
        Elb,
        "CreateListener",
        "LoadBalancerArn={lb}&Protocol=HTTP&Port={port}&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={tg}",
    ),
    (
        Elb,
        "CreateListener",
        "LoadBalancerArn={lb}&Protocol=HTTPS&Port={port}&Certificates.member.1.CertificateArn={cert}&DefaultActions.member.1.Type=fixed-response\
         &DefaultActions.member.1.FixedResponseConfig.StatusCode=404",
    ),
    (Elb, "ModifyListener", "ListenerArn={listener}&Port={port}"),
    (Elb, "ModifyListener", "ListenerArn={listener}&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn={tg}"),
    (Elb, "ModifyListener", "ListenerArn={listener}&Protocol=HTTPS&Certificates.member.1.CertificateArn={cert}"),
    (Elb, "DeleteListener", "ListenerArn={listener}"),
    (Elb, "DescribeListeners", "LoadBalancerArn={lb}"),
    (Elb, "DescribeListenerAttributes", "ListenerArn={listener}"),
    (
        Elb,
        "ModifyListenerAttributes",
        "ListenerArn={listener}&Attributes.member.1.Key=routing.http.response.server.enabled&Attributes.member.1.Value={flag}",
    ),
    (Elb, "DescribeListenerCertificates", "ListenerArn={listener}"),
    (Elb, "AddListenerCertificates", "ListenerArn={listener}&Certificates.member.1.CertificateArn={cert}"),
    (Elb, "RemoveListenerCertificates", "ListenerArn={listener}&Certificates.member.1.CertificateArn={cert}"),
    (
        Elb,
        "CreateRule",
        "ListenerArn={listener}&Priority={n}&Conditions.member.1.Field=path-pattern&Conditions.member.1.PathPatternConfig.Values.member.1=/a{n}*\
         &Actions.member.1.Type=forward&Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn={tg}\
         &Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight={n}&Actions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn={tg}",
    ),
    (
        Elb,
        "CreateRule",
        "ListenerArn={listener}&Priority={n}&Conditions.member.1.Field=host-header&Conditions.member.1.HostHeaderConfig.RegexValues.member.1=^a{n}\
         &Actions.member.1.Type=redirect&Actions.member.1.RedirectConfig.StatusCode=HTTP_301&Actions.member.1.RedirectConfig.Host=b.example\
         &Transforms.member.1.Type=url-rewrite&Transforms.member.1.UrlRewriteConfig.Rewrites.member.1.Regex=^/a\
         &Transforms.member.1.UrlRewriteConfig.Rewrites.member.1.Replace=/b",
    ),
    (Elb, "ModifyRule", "RuleArn={rule}&Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={tg}"),
    (
        Elb,
        "ModifyRule",
        "RuleArn={rule}&Conditions.member.1.Field=source-ip&Conditions.member.1.SourceIpConfig.Values.member.1=10.0.0.0/8&ResetTransforms=true",
    ),
    (Elb, "DeleteRule", "RuleArn={rule}"),
    (Elb, "DescribeRules", "ListenerArn={listener}"),
    (Elb, "DescribeRules", "RuleArns.member.1={rule}"),
    (
        Elb,
        "SetRulePriorities",
        "RulePriorities.member.1.RuleArn={rule}&RulePriorities.member.1.Priority={n}&RulePriorities.member.2.RuleArn={rule}&RulePriorities.member.2.Priority={n}",
    ),
    (Elb, "SetRulePriorities", "RulePriorities.member.1.RuleArn={rule}&RulePriorities.member.1.Priority={port}"),
    (Elb, "CreateTargetGroup", "Name=tg{n}&Protocol=HTTP&Port=8080&VpcId={vpc}&TargetType=ip"),
    (
        Elb,
        "CreateTargetGroup",
        "Name=tg{n}&Protocol=HTTPS&ProtocolVersion=GRPC&Port=443&VpcId={vpc}&TargetType=instance&Tags.member.1.Key=a&Tags.member.1.Value={n}",
    ),
    (Elb, "ModifyTargetGroup", "TargetGroupArn={tg}&HealthCheckPath=/h{n}&HealthCheckIntervalSeconds=1{n}"),
    (Elb, "DeleteTargetGroup", "TargetGroupArn={tg}"),
    (Elb, "DescribeTargetGroups", "LoadBalancerArn={lb}"),
    (Elb, "DescribeTargetGroups", ""),
    (Elb, "DescribeTargetGroupAttributes", "TargetGroupArn={tg}"),
    (Elb, "ModifyTargetGroupAttributes", "TargetGroupArn={tg}&Attributes.member.1.Key=stickiness.enabled&Attributes.member.1.Value={flag}"),
    (
        Elb,
        "RegisterTargets",
        "TargetGroupArn={tg}&Targets.member.1.Id=198.19.0.{n}&Targets.member.2.Id=127.0.0.{n}&Targets.member.2.Port={port}",
    ),
    (Elb, "RegisterTargets", "TargetGroupArn={tg}&Targets.member.1.Id={i}"),
    (Elb, "DeregisterTargets", "TargetGroupArn={tg}&Targets.member.1.Id=198.19.0.{n}"),
    (Elb, "DescribeTargetHealth", "TargetGroupArn={tg}"),
    (Elb, "AddTags", "ResourceArns.member.1={arn}&Tags.member.1.Key=k{n}&Tags.member.1.Value=v"),
    (Elb, "RemoveTags", "ResourceArns.member.1={arn}&TagKeys.member.1=k{n}"),
    (Elb, "DescribeTags", "ResourceArns.member.1={arn}"),
    (Elb, "DescribeAccountLimits", ""),
    (Elb, "DescribeCapacityReservation", "LoadBalancerArn={lb}"),
    (Elb, "ModifyCapacityReservation", "LoadBalancerArn={lb}&MinimumLoadBalancerCapacity.CapacityUnits=50{n}"),
    (Elb, "ModifyIpPools", "LoadBalancerArn={lb}&RemoveIpamPools.member.1=ipv4"),
    (Elb, "DescribeSSLPolicies", "Names.member.1=ELBSecurityPolicy-2016-08"),
    (Ec2, "DescribeVpcs", ""),
    (Ec2, "CreateVpc", "CidrBlock=10.{n}.0.0/16"),
    (Ec2, "DeleteVpc", "VpcId={vpc}"),
    (Ec2, "DescribeSubnets", "Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"),
    (Ec2, "DescribeSubnets", ""),
    (Ec2, "CreateSubnet", "VpcId={own}&CidrBlock=10.0.9{n}.0/24"),
    (Ec2, "DeleteSubnet", "SubnetId={subnet}"),
    (Ec2, "DescribeAvailabilityZones", ""),
    (Ec2, "DescribeRouteTables", ""),
    (Ec2, "DescribeInternetGateways", ""),
    (Ec2, "DescribeSecurityGroups", "GroupId.1={sg}"),
    (Ec2, "CreateSecurityGroup", "GroupName=g{n}&GroupDescription=x&VpcId={vpc}"),
    (Ec2, "DeleteSecurityGroup", "GroupId={sg}"),
    (Ec2, "DescribeSecurityGroupRules", "Filter.1.Name=group-id&Filter.1.Value.1={sg}"),
    (Ec2, "AuthorizeSecurityGroupIngress", "GroupId={sg}&{any}Groups.1.GroupId={sg}"),
    (Ec2, "AuthorizeSecurityGroupIngress", "GroupId={sg}&{any}IpRanges.1.CidrIp=0.0.0.0/0"),
    (Ec2, "AuthorizeSecurityGroupEgress", "GroupId={sg}&{any}IpRanges.1.CidrIp=10.{n}.0.0/16"),
    (Ec2, "RevokeSecurityGroupIngress", "GroupId={sg}&SecurityGroupRuleId.1={sgr}"),
    (Ec2, "RevokeSecurityGroupIngress", "GroupId={sg}&{any}Groups.1.GroupId={sg}"),
    (Ec2, "RevokeSecurityGroupEgress", "GroupId={sg}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"),
    (Ec2, "DescribeNetworkInterfaces", ""),
    (Ec2, "ModifyNetworkInterfaceAttribute", "NetworkInterfaceId={eni}&SecurityGroupId.1={sg}"),
    (Ec2, "DescribeInstances", ""),
    (Ec2, "CreateTags", "ResourceId.1={sg}&Tag.1.Key=k{n}&Tag.1.Value=v"),
    (Ec2, "DeleteTags", "ResourceId.1={sg}&Tag.1.Key=k{n}"),
    (Ec2, "DescribeTags", ""),
    (Sts, "GetCallerIdentity", ""),
    (Acm, "ImportCertificate", "{pair}"),
    (Acm, "RequestCertificate", r#"{"DomainName": "a{n}.example.com", "ValidationMethod": "DNS"}"#),
    (Acm, "DescribeCertificate", r#"{"CertificateArn": "{cert}"}"#),
    (Acm, "GetCertificate", r#"{"CertificateArn": "{cert}"}"#),
    (Acm, "ListCertificates", r#"{"Includes": {"keyTypes": ["EC_prime256v1", "RSA_2048"]}}"#),
    (Acm, "DeleteCertificate", r#"{"CertificateArn": "{cert}"}"#),
    (Acm, "AddTagsToCertificate", r#"{"CertificateArn": "{cert}", "Tags": [{"Key": "k{n}", "Value": "v"}]}"#),
    (Acm, "RemoveTagsFromCertificate", r#"{"CertificateArn": "{cert}", "Tags": [{"Key": "k{n}"}]}"#),
    (Acm, "ListTagsForCertificate", r#"{"CertificateArn": "{cert}"}"#),
    (Tagging, "GetResources", "{}"),
    (Tagging, "TagResources", r#"{"ResourceARNList": ["{arn}"], "Tags": {"k{n}": "v"}}"#),
    (Tagging, "UntagResources", r#"{"ResourceARNList": ["{arn}"], "TagKeys": ["k{n}"]}"#),
];

/// The beginning of a permission, of which the peer is left out.
pub fn permission() -> &'static str {
    ANY
}

/// The operations that a service has, by its source: those that come later are called, too.
pub fn operations() -> Vec<(Service, String)> {
    let sources = [
        (Elb, include_str!("../../src/elb.rs")),
        (Ec2, include_str!("../../src/ec2.rs")),
        (Sts, include_str!("../../src/sts.rs")),
        (Acm, include_str!("../../src/acm.rs")),
        (Tagging, include_str!("../../src/tagging.rs")),
    ];
    let mut found = Vec::new();
    for (service, text) in sources {
        for line in text.lines().filter(|line| line.contains("Operation::new(")) {
            found.extend(line.trim().strip_prefix('"').and_then(|rest| rest.split('"').next()).map(|name| (service, name.to_owned())));
        }
    }
    found
}
