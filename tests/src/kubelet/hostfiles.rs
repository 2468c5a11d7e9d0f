//! The three files that every container of a pod gets: `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::Pod;

/// Their names under `/etc`.
pub const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Their texts.
pub fn texts(pod: &Pod, pod_ip: Ipv4Addr, hostname: &str, dns: IpAddr) -> [(&'static str, String); 3] {
    let mut hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{pod_ip}\t{hostname}\n");
    for alias in pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten()) {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        hosts.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    [("hosts", hosts), ("hostname", format!("{hostname}\n")), ("resolv.conf", resolv_conf(pod, dns))]
}

fn resolv_conf(pod: &Pod, dns: IpAddr) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let own = spec.dns_config.unwrap_or_default();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut servers: Vec<String> = if policy == "None" { Vec::new() } else { vec![dns.to_string()] };
    let mut searches: Vec<String> = match policy {
        "ClusterFirst" | "ClusterFirstWithHostNet" => {
            vec![format!("{namespace}.svc.cluster.local"), "svc.cluster.local".to_owned(), "cluster.local".to_owned()]
        }
        _ => Vec::new(),
    };
    let mut options: Vec<(String, Option<String>)> =
        if policy.starts_with("ClusterFirst") { vec![("ndots".to_owned(), Some("5".to_owned()))] } else { Vec::new() };
    servers.extend(own.nameservers.unwrap_or_default());
    searches.extend(own.searches.unwrap_or_default());
    for option in own.options.unwrap_or_default() {
        let name = option.name.unwrap_or_default();
        options.retain(|(known, _)| *known != name);
        options.push((name, option.value));
    }
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    if !searches.is_empty() {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    if !options.is_empty() {
        let options: Vec<String> =
            options.into_iter().map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}:{value}"))).collect();
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolv(spec: serde_json::Value) -> String {
        let pod = serde_json::from_value(json!({"metadata": {"namespace": "shop"}, "spec": spec})).unwrap();
        resolv_conf(&pod, IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1)))
    }

    #[test]
    fn names_are_resolved_as_the_policy_says() {
        let cluster = "nameserver 198.19.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
        assert_eq!(resolv(json!({"containers": []})), cluster);
        assert_eq!(resolv(json!({"containers": [], "dnsPolicy": "Default"})), "nameserver 198.19.0.1\n");
        let config = json!({"nameservers": ["192.0.2.1"], "searches": ["example.org"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]});
        assert_eq!(
            resolv(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config})),
            "nameserver 192.0.2.1\nsearch example.org\noptions ndots:2 rotate\n"
        );
    }
}
