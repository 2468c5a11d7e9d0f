//! A great many calls, right and wrong, of every operation, by several clients at once, while faults happen: nothing panics, nothing hangs, nothing is left
//! over, and the state holds together after each change.

use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portico_cloud::{Cloud, CloudConfig, Times};
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand::{Rng, SeedableRng};
use regex::Regex;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::harness::{Api, Service, config};
use super::templates::{TEMPLATES, operations, permission};
use crate::dataplane::harness::soon;

/// How many clients call at once.
const CLIENTS: usize = 4;

/// Ten thousand calls; a hundred thousand in the full test (`PORTICO_TEST_FULL`).
fn calls() -> usize {
    if std::env::var_os("PORTICO_TEST_FULL").is_some() { 100_000 } else { 10_000 }
}

/// Panics of the whole process since the first test that counts them.
fn panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            previous(info);
        }));
    });
    &PANICS
}

/// Certificates with their keys, as ImportCertificate takes them.
static PAIRS: LazyLock<[String; 3]> = LazyLock::new(|| {
    ["a.example.com", "*.b.example.com", "default"].map(|name| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let [certificate, key] = [certificate.pem(), key.serialize_pem()].map(|pem| STANDARD.encode(pem));
        json!({ "Certificate": certificate, "PrivateKey": key }).to_string()
    })
});

/// What answers have named, by kind, of which calls name some.
#[derive(Debug, Default)]
struct Known(BTreeMap<&'static str, Vec<String>>);

static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"arn:aws:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:[^<"\s]+|\b(sgr|sg|subnet|vpc|eni|rtb|igw|i)-0[0-9a-f]{16}\b"#).unwrap()
});

impl Known {
    fn learn(&mut self, answer: &str, random: &mut StdRng) {
        for found in NAMES.find_iter(answer).take(40) {
            let name = found.as_str();
            let kind = match name.split_once(':') {
                None => {
                    ["sgr", "sg", "subnet", "vpc", "eni", "rtb", "igw", "i"].into_iter().find(|kind| name.starts_with(&format!("{kind}-")))
                }
                Some(_) => [
                    (":loadbalancer/", "lb"),
                    (":listener/", "listener"),
                    (":listener-rule/", "rule"),
                    (":targetgroup/", "tg"),
                    (":certificate/", "cert"),
                ]
                .into_iter()
                .find_map(|(part, kind)| name.contains(part).then_some(kind)),
            };
            let list = self.0.entry(kind.unwrap_or("other")).or_default();
            if list.iter().any(|known| known == name) {
                continue;
            }
            // What was named long ago makes room: some of it is gone.
            if list.len() < 12 { list.push(name.to_owned()) } else { *list.choose_mut(random).unwrap() = name.to_owned() }
        }
    }

    /// Forgets what a call named that is gone.
    fn forget(&mut self, parameters: &str) {
        for (kind, list) in &mut self.0 {
            if !["public", "own"].contains(kind) {
                list.retain(|name| !parameters.contains(name.as_str()));
            }
        }
    }

    fn some(&self, kind: &str, random: &mut StdRng) -> String {
        let kinds = ["lb", "listener", "rule", "tg", "cert"];
        let kind = if kind == "arn" { *kinds.choose(random).unwrap() } else { kind };
        self.0.get(kind).and_then(|list| list.choose(random)).cloned().unwrap_or_else(|| format!("{kind}-0000"))
    }
}

/// Values that hardly any parameter takes.
fn odd(random: &mut StdRng) -> String {
    let long = "x".repeat(random.random_range(100..20_000));
    [
        "",
        "-1",
        "0",
        "99999999999999999999",
        "%00",
        "%F0%9F%92%A9",
        "true",
        "NaN",
        "../..",
        "*",
        "arn:aws:x",
        "a%0D%0Ab",
        "[",
        "(?=a)",
        &long,
    ]
    .choose(random)
    .unwrap()
    .to_string()
}

/// Names of parameters that some operation reads, from the source.
static VOCABULARY: LazyLock<Vec<String>> = LazyLock::new(|| {
    let name = Regex::new(
        r#"(?:text|required|strings|required_strings|items|child|flag|list|texts|parse(?:::<[^>]*>)?)\(\s*"([A-Z][A-Za-z0-9]*)""#,
    )
    .unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.extend(name.captures_iter(&text).map(|found| found[1].to_owned()));
            }
        }
    }
    found.into_iter().collect()
});

/// A parameter, at some depth.
fn parameter(known: &Known, random: &mut StdRng) -> String {
    let mut path = VOCABULARY.choose(random).unwrap().clone();
    for _ in 0..random.random_range(0..3) {
        let step = [".member.1", ".1", ""].choose(random).unwrap();
        path = format!("{path}{step}.{}", VOCABULARY.choose(random).unwrap());
    }
    let value = match random.random_range(0..4) {
        0 => odd(random),
        1 => random.random_range(0..100).to_string(),
        _ => known.some(["arn", "lb", "tg", "sg", "subnet", "vpc", "eni"].choose(random).unwrap(), random),
    };
    format!("{path}={value}")
}

/// Any parameters.
fn anything(service: Service, known: &Known, random: &mut StdRng) -> String {
    let parameters: Vec<String> = (0..random.random_range(0..6)).map(|_| parameter(known, random)).collect();
    if !speaks_json(service) {
        return parameters.join("&");
    }
    let pairs = parameters.iter().filter_map(|one| one.split_once('='));
    json!(pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<String, Value>>()).to_string()
}

fn speaks_json(service: Service) -> bool {
    matches!(service, Service::Acm | Service::Tagging)
}

/// A call with its holes filled, and now and then spoilt.
fn call(known: &Known, operations: &[(Service, String)], random: &mut StdRng) -> (Service, String, String) {
    if random.random_ratio(1, 12) {
        let (service, operation) = operations.choose(random).unwrap().clone();
        let parameters = anything(service, known, random);
        return (service, operation, parameters);
    }
    let (mut service, mut operation, mut template) = *TEMPLATES.choose(random).unwrap();
    if operation.starts_with("Delete") && random.random_ratio(2, 3) {
        // There is more to do where there is something.
        (service, operation, template) = *TEMPLATES.choose(random).unwrap();
    }
    let mut text = template.replace("{any}", permission()).replace("{pair}", PAIRS.choose(random).unwrap());
    for _ in 0..20 {
        let Some((before, rest)) = text.split_once('{').filter(|(_, rest)| {
            rest.find('}').is_some_and(|end| end < 10 && rest[..end].bytes().all(|b| b.is_ascii_lowercase()) && end > 0)
        }) else {
            break;
        };
        let (hole, after) = rest.split_once('}').unwrap();
        let value = match hole {
            "n" => random.random_range(1..9).to_string(),
            "port" => random.random_range(20_000..20_008).to_string(),
            "flag" => ["true", "false"].choose(random).unwrap().to_string(),
            // Mostly the account's own network, which load balancers can use.
            "vpc" if random.random_ratio(3, 4) => known.some("own", random),
            kind => known.some(kind, random),
        };
        text = format!("{before}{value}{after}");
    }
    // JSON begins with a brace, which hides its holes.
    let text = fill_json(text, known, random);
    (service, operation.to_owned(), spoil(text, service, known, random))
}

fn fill_json(mut text: String, known: &Known, random: &mut StdRng) -> String {
    for (hole, kind) in [("{cert}", "cert"), ("{arn}", "arn")] {
        while text.contains(hole) {
            text = text.replacen(hole, &known.some(kind, random), 1);
        }
    }
    while text.contains("{n}") {
        text = text.replacen("{n}", &random.random_range(1..9).to_string(), 1);
    }
    text
}

fn spoil(text: String, service: Service, known: &Known, random: &mut StdRng) -> String {
    if !random.random_ratio(1, 4) {
        return text;
    }
    if speaks_json(service) {
        let cut = random.random_range(0..=text.len());
        return match random.random_range(0..3) {
            0 => text.get(..cut).unwrap_or_default().to_owned(),
            1 => text.replace("Arn", "Nra"),
            _ => text.replace("\": \"", "\": [\""),
        };
    }
    let mut parameters: Vec<String> = text.split('&').map(str::to_owned).collect();
    let index = random.random_range(0..parameters.len());
    match random.random_range(0..4) {
        0 => drop(parameters.remove(index)),
        1 => parameters.push(parameter(known, random)),
        2 => parameters[index] = format!("{}={}", parameters[index].split('=').next().unwrap(), odd(random)),
        _ => {
            let again = parameters[index].clone();
            parameters.push(again);
        }
    }
    parameters.join("&")
}

/// What the clients share.
#[derive(Debug, Default)]
struct Tally {
    called: BTreeMap<String, usize>,
    succeeded: BTreeMap<String, usize>,
    codes: BTreeMap<String, usize>,
    lost: usize,
}

const FAULTS: &str = r#"[
    {"operation": "*", "kind": "throttle", "rate": 0.02},
    {"operation": "*", "kind": {"error": {"code": "ServiceUnavailable", "status": 503}}, "rate": 0.02},
    {"operation": "mutations", "kind": "lost_response", "rate": 0.02},
    {"operation": "*", "kind": "lost_request", "rate": 0.01},
    {"operation": "*", "kind": {"delay": {"ms": 1}}, "rate": 0.02}
]"#;

/// The account's own VPC and its public subnets.
async fn network(api: &mut Api) -> Known {
    let state = api.admin("GET", "state", "").await;
    let subnets = state["subnets"].as_array().unwrap().iter().filter(|subnet| subnet["public"] == json!(true));
    let public = subnets.map(|subnet| subnet["id"].as_str().unwrap().to_owned()).collect();
    let own = vec![state["vpcs"][0]["id"].as_str().unwrap().to_owned()];
    Known(BTreeMap::from([("public", public), ("own", own)]))
}

async fn client(mut api: Api, operations: Arc<Vec<(Service, String)>>, seed: u64, count: usize, tally: Arc<Mutex<Tally>>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut known = network(&mut api).await;
    for index in 0..count {
        // Each operation at least once, with anything.
        let (service, operation, parameters) = match operations.get(index) {
            Some((service, operation)) => (*service, operation.clone(), anything(*service, &known, &mut random)),
            None => call(&known, &operations, &mut random),
        };
        // The patience of a test bounds every call: none may hang.
        let reply = api.send(service, &operation, &parameters).await;
        let shown = || format!("seed {seed}: {operation} {}", parameters.chars().take(500).collect::<String>());
        let code = match &reply {
            None => "lost".to_owned(),
            Some(reply) if reply.status == 200 => "ok".to_owned(),
            Some(reply) => {
                let xml = reply.body.split("<Code>").nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned);
                let code = xml.or_else(|| serde_json::from_str::<Value>(&reply.body).ok()?["__type"].as_str().map(str::to_owned));
                code.unwrap_or_else(|| panic!("an error without a code: {} {}", shown(), reply.body))
            }
        };
        assert_ne!(code, "InternalFailure", "{}", shown());
        {
            let mut tally = tally.lock().unwrap();
            *tally.called.entry(operation.clone()).or_default() += 1;
            *tally.codes.entry(code.clone()).or_default() += 1;
            tally.lost += usize::from(reply.is_none());
            if code == "ok" {
                *tally.succeeded.entry(operation.clone()).or_default() += 1;
            }
        }
        if code.ends_with("NotFound") {
            known.forget(&parameters);
        }
        if let Some(reply) = reply.filter(|reply| reply.status == 200) {
            known.learn(&reply.body, &mut random);
        }
        // What did not read may have changed something, also if its answer was lost.
        let reads = ["Describe", "List", "Get"].iter().any(|word| operation.starts_with(word));
        if !reads && (code == "ok" || code == "lost") {
            assert_eq!(api.admin("GET", "integrity", "").await, json!([]), "after {}", shown());
        }
    }
}

/// Deletes all load balancers, target groups and certificates, as anybody would.
async fn clear(api: &mut Api) {
    let state = api.admin("GET", "state", "").await;
    let arns =
        |kind: &str| -> Vec<String> { state[kind].as_array().unwrap().iter().map(|one| one["arn"].as_str().unwrap().to_owned()).collect() };
    for arn in arns("load_balancers") {
        let off = "Attributes.member.1.Key=deletion_protection.enabled&Attributes.member.1.Value=false";
        api.call(Service::Elb, "ModifyLoadBalancerAttributes", &format!("LoadBalancerArn={arn}&{off}")).await;
        api.call(Service::Elb, "DeleteLoadBalancer", &format!("LoadBalancerArn={arn}")).await;
    }
    for arn in arns("target_groups") {
        api.call(Service::Elb, "DeleteTargetGroup", &format!("TargetGroupArn={arn}")).await;
    }
    for arn in arns("certificates") {
        api.call(Service::Acm, "DeleteCertificate", &json!({ "CertificateArn": arn }).to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_great_many_calls_leave_everything_whole() {
    let panics_before = panics().load(Ordering::SeqCst);
    let seed = rand::random();
    let times =
        Times { network_interface_lag: Duration::from_millis(20), target_group_delete_lag: Duration::from_millis(5), ..Times::default() };
    let cloud = Cloud::start(CloudConfig { times, ..config(seed) }).await.unwrap();
    let mut api = Api::new(&cloud);
    api.admin("PUT", "settings", r#"{"quotas": {"certificate-imports-per-year": 1000000}}"#).await;
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    api.admin("POST", "faults", FAULTS).await;
    let operations = Arc::new(operations());
    assert!(operations.len() > 70, "{operations:?}");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(
            Api::new(&cloud),
            Arc::clone(&operations),
            seed.wrapping_add(number as u64),
            calls() / CLIENTS,
            Arc::clone(&tally),
        ));
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }

    // Every operation was called, and what has a template worked.
    api.admin("DELETE", "faults", "").await;
    let tally = Arc::try_unwrap(tally).unwrap().into_inner().unwrap();
    let uncalled: Vec<_> = operations.iter().filter(|(_, name)| !tally.called.contains_key(name)).collect();
    assert_eq!(uncalled, Vec::<&(Service, String)>::new(), "seed {seed}");
    let failed: BTreeSet<&str> = TEMPLATES.iter().map(|(_, name, _)| *name).filter(|name| !tally.succeeded.contains_key(*name)).collect();
    // A sample need not come upon each.
    let may_fail = if std::env::var_os("PORTICO_TEST_FULL").is_some() { 0 } else { 8 };
    assert!(failed.len() <= may_fail, "{failed:?}: seed {seed}: never succeeded; {:?}", tally.codes);
    println!("seed {seed}: {:?}", tally.succeeded);
    assert!(tally.codes.len() > 25 && tally.lost > 0, "{:?}", tally.codes);

    // Nothing is in flight, nothing is left over.
    let calls = api.admin("GET", "calls", "").await;
    assert!(calls["in_flight"].as_object().is_none_or(serde_json::Map::is_empty), "{calls}");
    clear(&mut api).await;
    let gone = async {
        loop {
            let state = api.admin("GET", "state", "").await;
            let listeners = api.admin("GET", "listeners", "").await;
            let interfaces =
                state["network_interfaces"].as_array().unwrap().iter().filter(|one| one.to_string().contains("ELB app/")).count();
            let tasks = Handle::current().metrics().num_alive_tasks();
            // This client's connection is a task of the cloud's, too.
            if interfaces == 0 && listeners == json!([]) && tasks <= tasks_before + 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
    let requests = api.admin("GET", "requests", "").await;
    assert_eq!(requests, json!({"rules": {}, "target_groups": {}}));
    assert_eq!(api.admin("GET", "integrity", "").await, json!([]));
    cloud.shutdown().await;
    assert_eq!(panics().load(Ordering::SeqCst), panics_before, "seed {seed}: something panicked");
}
