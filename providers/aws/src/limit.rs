//! Limits of AWS that shape a stack. Those that an account can have raised are read from the cloud and only default to these.

/// AWS: values of all conditions of one rule together; cannot be raised.
pub const CONDITION_VALUES_PER_RULE: usize = 5;
/// AWS: characters of one condition value, plain or regular expression.
pub const CONDITION_VALUE_LENGTH: usize = 128;
/// AWS: characters of the name in an `http-header` condition, and of a method.
pub const HEADER_NAME_LENGTH: usize = 40;
/// AWS: target groups of one forward action; cannot be raised.
pub const TARGET_GROUPS_PER_ACTION: usize = 5;
/// AWS: highest weight of a target group in a forward action.
pub const LARGEST_WEIGHT: u32 = 999;
/// AWS: characters of a redirect's host, path or query.
pub const REDIRECT_PART_LENGTH: usize = 128;
/// AWS: characters of a transform's regular expression, and of its replacement.
pub const TRANSFORM_LENGTH: usize = 1024;
/// AWS: highest priority of a rule.
pub const HIGHEST_PRIORITY: u32 = 50_000;
/// AWS: characters of a load balancer's or target group's name.
pub const NAME_LENGTH: usize = 32;
/// AWS: listeners of one load balancer (can be raised).
pub const LISTENERS_PER_LOAD_BALANCER: u32 = 50;
/// AWS: rules of one load balancer, default rules not counted (can be raised).
pub const RULES_PER_LOAD_BALANCER: u32 = 100;
/// AWS: target groups of one load balancer; cannot be raised.
pub const TARGET_GROUPS_PER_LOAD_BALANCER: u32 = 100;
/// AWS: certificates of one load balancer, default ones not counted (can be raised).
pub const CERTIFICATES_PER_LOAD_BALANCER: u32 = 25;
/// AWS: targets of one target group (can be raised).
pub const TARGETS_PER_TARGET_GROUP: u32 = 1000;
/// AWS: free addresses that a load balancer needs in each subnet.
pub const FREE_ADDRESSES_PER_SUBNET: u32 = 8;
/// AWS: zones that an application load balancer needs at least.
pub const ZONES_PER_LOAD_BALANCER: usize = 2;
/// AWS: characters of a tag's key.
pub const TAG_KEY_LENGTH: usize = 128;
/// AWS: characters of a tag's value.
pub const TAG_VALUE_LENGTH: usize = 256;
/// AWS: tags of one resource.
pub const TAGS_PER_RESOURCE: usize = 50;
/// AWS: inbound rules of one security group, for IPv4 and as many for IPv6 (can be raised; no API that Portico uses tells it).
pub const INBOUND_RULES_PER_SECURITY_GROUP: u32 = 60;
