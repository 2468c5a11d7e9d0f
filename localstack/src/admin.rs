//! The admin API under `/_cloud/`: counts, log, faults, settings, state, addresses.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::control::Control;
use crate::dns;
use crate::endpoint::{Reply, plain};
use crate::fault::Fault;
use crate::integrity;
use crate::inventory;
use crate::s3::Bucket;
use crate::settings::Settings;
use crate::wire::query;

/// How many calls `/_cloud/log` shows unless told otherwise.
const LOG_DEFAULT: usize = 100;

/// What there is under `/_cloud/`.
const RESOURCES: &[&str] =
    &["calls", "dns", "faults", "health", "integrity", "inventory", "listeners", "log", "logs", "requests", "reset", "settings", "state"];

/// Answers a request of the admin API.
pub async fn answer(control: &Control, method: &Method, path: &str, parameters: &str, body: &str) -> Reply {
    let parameter = |name: &str| query::parameter(parameters, name).filter(|value| !value.is_empty());
    let resource = path.trim_start_matches("/_cloud").trim_matches('/');
    match (method.as_str(), resource) {
        ("GET", "") => ok(&json!({ "resources": RESOURCES })),
        ("GET", "health") => ok(&json!({ "status": "ready" })),
        ("GET", "calls") => {
            let counts = control.with_log(|log| {
                let counts = json!(log.counts());
                if parameter("reset").is_some_and(|value| value == "1" || value == "true") {
                    log.reset();
                }
                counts
            });
            ok(&counts)
        }
        ("GET", "log") => {
            let count = parameter("last").and_then(|text| text.parse().ok()).unwrap_or(LOG_DEFAULT);
            ok(&control.with_log(|log| json!(log.last(count).collect::<Vec<_>>())))
        }
        ("GET", "logs") => {
            let waiting = control.plane().logs().waiting();
            ok(&json!({ "waiting_logs": waiting.logs, "waiting_bytes": waiting.bytes, "dropped_entries": waiting.dropped }))
        }
        ("POST", "logs") => {
            let objects = control.deliver_logs().await;
            ok(&objects.iter().map(|(bucket, key)| json!({ "bucket": bucket, "key": key })).collect())
        }
        ("POST", "reset") => reset(control, parameter("what").as_deref().unwrap_or(body.trim())).await,
        ("GET", "faults") => ok(&control.with_faults(|faults| json!(faults.list()))),
        ("POST", "faults") => add_faults(control, body),
        ("DELETE", "faults") => {
            control.with_faults(crate::fault::Faults::clear);
            ok(&json!([]))
        }
        ("GET", "state") => ok(&state(control)),
        ("GET", "certificates") => ok(&control.with_state(|state| json!(state.acm.certificates.values().collect::<Vec<_>>()))),
        ("POST", "certificates") => issue(control, body),
        ("GET", "inventory") => ok(&control.with_state(inventory::of)),
        ("GET", "settings") => ok(&control.with_state(|state| Settings::of(&state.config))),
        ("PUT", "settings") => change_settings(control, body),
        ("GET", "integrity") => ok(&json!(control.with_state(integrity::violations))),
        ("GET", "dns") => dns(control, &parameter("name").unwrap_or_default()),
        ("GET", "listeners") => ok(&listeners(control)),
        ("GET", "requests") => ok(&requests(control)),
        (_, "") => fault(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not allowed for {path}")),
        (_, name) if RESOURCES.contains(&name) => fault(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not allowed for {path}")),
        _ => fault(StatusCode::NOT_FOUND, &format!("there is no {path}")),
    }
}

fn ok(value: &Value) -> Reply {
    json_reply(StatusCode::OK, value)
}

fn fault(status: StatusCode, message: &str) -> Reply {
    json_reply(status, &json!({ "error": message }))
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    plain(status, "application/json", format!("{value:#}\n"))
}

/// `calls` empties the log, `all` begins anew. The word stands in the body (bare or as `{"what": …}`) or in `?what=`.
async fn reset(control: &Control, what: &str) -> Reply {
    let word = match serde_json::from_str::<Value>(what) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(members)) => members.get("what").and_then(Value::as_str).unwrap_or_default().to_string(),
        _ => what.to_string(),
    };
    match word.as_str() {
        "calls" => control.with_log(crate::log::CallLog::reset),
        "all" => {
            if let Err(error) = control.reset().await {
                return fault(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
            }
        }
        other => return fault(StatusCode::BAD_REQUEST, &format!("reset 'calls' or 'all', not '{other}'")),
    }
    ok(&json!({ "reset": word }))
}

/// Adds a list of faults, or one.
fn add_faults(control: &Control, body: &str) -> Reply {
    let faults = serde_json::from_str::<Vec<Fault>>(body)
        .or_else(|error| if body.trim_start().starts_with('{') { serde_json::from_str(body).map(|one| vec![one]) } else { Err(error) });
    match faults {
        Ok(faults) => ok(&control.with_faults(|all| {
            all.add(faults);
            json!(all.list())
        })),
        Err(error) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Issues a requested certificate: `{"issue": ARN}`.
fn issue(control: &Control, body: &str) -> Reply {
    let arn = serde_json::from_str::<Value>(body).ok().and_then(|value| value.get("issue")?.as_str().map(str::to_string));
    let Some(arn) = arn else { return fault(StatusCode::BAD_REQUEST, "the body must be {\"issue\": ARN}") };
    match control.act(|state| crate::acm::issue::issue(state, &arn)) {
        Ok(()) => ok(&json!({ "issued": arn })),
        Err(error) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Changes settings, and answers with all that are in force then.
fn change_settings(control: &Control, body: &str) -> Reply {
    let changed = serde_json::from_str::<Settings>(body).map_err(|error| error.to_string()).and_then(|settings| control.change(&settings));
    match changed {
        Ok(()) => ok(&control.with_state(|state| Settings::of(&state.config))),
        Err(error) => fault(StatusCode::BAD_REQUEST, &error),
    }
}

/// Everything that the control plane holds, in a stable order.
fn state(control: &Control) -> Value {
    control.with_state(|state| {
        json!({
            "region": state.config.region,
            "account": state.config.account,
            "revision": state.revision,
            "load_balancers": state.elb.load_balancers.values().collect::<Vec<_>>(),
            "target_groups": state.elb.target_groups.values().collect::<Vec<_>>(),
            "trust_stores": state.elb.trust_stores.values().collect::<Vec<_>>(),
            "buckets": state.s3.buckets.values().filter(|bucket| !bucket.managed).map(Bucket::summary).collect::<Vec<_>>(),
            "web_acls": state.wafv2.web_acls.values().collect::<Vec<_>>(),
            "web_acl_associations": state.wafv2.associations,
            "shield": state.shield,
            "hosted_zones": state.route53.zones.values().collect::<Vec<_>>(),
            "addresses": state.ec2.addresses.values().collect::<Vec<_>>(),
            "prefix_lists": state.ec2.prefix_lists.values().collect::<Vec<_>>(),
            "ipams": state.ec2.ipams.values().collect::<Vec<_>>(),
            "ipam_scopes": state.ec2.ipam_scopes.values().collect::<Vec<_>>(),
            "ipam_pools": state.ec2.ipam_pools.values().collect::<Vec<_>>(),
            "vpcs": state.ec2.vpcs.values().collect::<Vec<_>>(),
            "subnets": state.ec2.subnets.values().collect::<Vec<_>>(),
            "route_tables": state.ec2.route_tables.values().collect::<Vec<_>>(),
            "internet_gateways": state.ec2.internet_gateways.values().collect::<Vec<_>>(),
            "security_groups": state.ec2.security_groups.values().collect::<Vec<_>>(),
            "network_interfaces": state.ec2.network_interfaces.values().collect::<Vec<_>>(),
            "certificates": state.acm.certificates.values().collect::<Vec<_>>(),
            "days_before_expiry": state.acm.account.days_before_expiry,
            "acme": state.acm.acme.shown(),
            "instances": state.ec2.instances.values().collect::<Vec<_>>(),
            "quotas": state.config.quotas,
        })
    })
}

/// What a DNS server would answer for the name of a load balancer or of a record set of Route 53.
fn dns(control: &Control, name: &str) -> Reply {
    let wanted = name.trim_end_matches('.').to_ascii_lowercase();
    match control.with_state(|state| dns::lookup(state, &wanted)) {
        Some(addresses) => ok(&json!({ "name": wanted, "addresses": addresses })),
        None => fault(StatusCode::NOT_FOUND, &format!("neither a load balancer nor a record set has the name '{wanted}'")),
    }
}

/// Where listeners listen.
fn listeners(control: &Control) -> Value {
    let names: std::collections::BTreeMap<String, String> = control
        .with_state(|state| state.elb.load_balancers.values().map(|balancer| (balancer.arn.clone(), balancer.dns_name.clone())).collect());
    let rows = control.plane().bound().into_iter().map(|bound| {
        let mut row = json!({
            "load_balancer": bound.load_balancer.as_str(),
            "dns_name": names.get(bound.load_balancer.as_str()),
            "listener": bound.listener.as_str(),
            "address": bound.address,
            "port": bound.port,
            "transport": bound.transport,
        });
        let (key, value) = match &bound.bound {
            Ok(address) => ("bound", json!(address.port())),
            Err(error) => ("error", json!(error)),
        };
        if let Some(members) = row.as_object_mut() {
            members.insert(key.into(), value);
        }
        row
    });
    Value::Array(rows.collect())
}

/// How many requests rules and target groups have served.
fn requests(control: &Control) -> Value {
    let counters = control.plane().counters();
    let rules: serde_json::Map<String, Value> = counters.rules.iter().map(|(id, count)| (id.to_string(), json!(count))).collect();
    let groups: serde_json::Map<String, Value> = counters.target_groups.iter().map(|(id, count)| (id.to_string(), json!(count))).collect();
    json!({ "rules": rules, "target_groups": groups })
}
