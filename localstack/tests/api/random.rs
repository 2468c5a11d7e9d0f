//! A great many calls, right and wrong, of every operation of every service, by several clients at once, while faults happen and requests are served:
//! nothing panics, nothing hangs, nothing is left over, the state holds together after each change, and any state outlives a restart.

mod call;
mod cleanup;
mod known;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipnet::IpNet;
use portico_cloud::service::{Protocol, Service};
use portico_cloud::{AddressPool, Cloud, CloudConfig, Times};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::harness::{Api, config};
use super::restart::Folder;
use crate::dataplane::harness::{Client, Reply, soon};
use call::{call, nonsense};
use known::Known;
use template::{REFUSED, TEMPLATES, operations};

/// How many clients call at once.
const CLIENTS: usize = 4;
/// Operations whose calls are held now and then, and how long a client waits for those before it hangs up. No other call may hang.
const HELD: [&str; 2] = ["AddTags", "DescribeTags"];
const HELD_PATIENCE: Duration = Duration::from_millis(400);
/// What memory may have grown by from the end of an early round to that of the last, in KiB.
const GROWTH: u64 = 48 * 1024;
/// Set in the process that makes the calls, and nothing else.
const ALONE: &str = "PORTICO_TEST_ALONE";

fn is_full() -> bool {
    std::env::var_os("PORTICO_TEST_FULL").is_some()
}

/// Ten thousand calls; a hundred thousand in the full test (`PORTICO_TEST_FULL`), or as many as are asked for (`PORTICO_TEST_CALLS`).
fn calls() -> usize {
    let asked = std::env::var("PORTICO_TEST_CALLS").ok().and_then(|calls| calls.parse().ok());
    asked.unwrap_or(if is_full() { 100_000 } else { 10_000 })
}

/// After each round everything is deleted; before that, the cloud begins anew from its state file.
fn rounds() -> usize {
    if is_full() { 6 } else { 2 }
}

/// Panics of the process from now on.
fn panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        previous(info);
    }));
    &PANICS
}

/// What the clients share.
#[derive(Debug, Default)]
struct Tally {
    called: BTreeSet<(&'static str, String)>,
    succeeded: BTreeMap<(&'static str, String), usize>,
    codes: BTreeMap<String, usize>,
}

const FAULTS: &str = r#"[
    {"operation": "*", "kind": "throttle", "rate": 0.02},
    {"operation": "*", "kind": {"error": {"code": "ServiceUnavailable", "status": 503}}, "rate": 0.02},
    {"operation": "mutations", "kind": "lost_response", "rate": 0.02},
    {"operation": "*", "kind": "lost_request", "rate": 0.01},
    {"operation": "elasticloadbalancing.AddTags", "kind": "held_response", "rate": 0.1},
    {"operation": "elasticloadbalancing.DescribeTags", "kind": "held_request", "rate": 0.1},
    {"operation": "*", "kind": {"delay": {"ms": 1}}, "rate": 0.02}
]"#;

/// The code of an answer: `ok`, `lost`, or that of the error.
fn code(service: Service, reply: Option<&Reply>, shown: impl Fn() -> String) -> String {
    let Some(reply) = reply else { return "lost".into() };
    if (200..300).contains(&reply.status) {
        return "ok".into();
    }
    let xml = reply.body.split("<Code>").nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned);
    let code = xml.or_else(|| serde_json::from_str::<Value>(&reply.body).ok()?["__type"].as_str().map(str::to_owned));
    // HEAD has no body, and what is no HTTP gets none.
    let code = code.or_else(|| (service.protocol() == Protocol::Rest).then(|| format!("HTTP {}", reply.status)));
    let code = code.unwrap_or_else(|| panic!("an error without a code: {} {}", shown(), reply.body));
    let on_purpose =
        ["ServiceUnavailable", "RequestLimitExceeded", "SlowDown", "NotImplemented", "HTTP 503", "HTTP 501"].contains(&code.as_str());
    assert!(reply.status < 500 || on_purpose, "{} {code}: {}", shown(), reply.body);
    code
}

/// A client that calls.
struct Caller {
    api: Api,
    seed: u64,
    random: StdRng,
    /// What one client has made, all of them call.
    known: Arc<Mutex<Known>>,
    operations: Arc<Vec<(Service, String)>>,
    tally: Arc<Mutex<Tally>>,
}

impl Caller {
    async fn run(mut self, count: usize, each_once: bool) {
        for index in 0..count {
            let (service, operation, call) = {
                let known = self.known.lock().unwrap();
                match self.operations.get(index).filter(|_| each_once) {
                    // Each operation at least once, with anything.
                    Some((service, operation)) => (*service, operation.clone(), nonsense(*service, &known, &mut self.random)),
                    None => call(&known, &self.operations, &mut self.random),
                }
            };
            self.one(service, &operation, &call).await;
        }
    }

    async fn one(&mut self, service: Service, operation: &str, call: &str) {
        let sent = self.api.send(service, operation, call);
        let reply = if service == Service::Elb && HELD.contains(&operation) {
            // The connection goes with the call.
            tokio::time::timeout(HELD_PATIENCE, sent).await.ok().flatten()
        } else {
            // The patience of a test bounds every call: none may hang.
            sent.await
        };
        let shown = || format!("seed {}: {} {operation} {}", self.seed, service.signing_name(), call.chars().take(800).collect::<String>());
        let code = code(service, reply.as_ref(), shown);
        {
            let mut tally = self.tally.lock().unwrap();
            let name = (service.signing_name(), operation.to_owned());
            *tally.codes.entry(code.clone()).or_default() += 1;
            if code == "ok" {
                *tally.succeeded.entry(name.clone()).or_default() += 1;
            }
            tally.called.insert(name);
        }
        if code.ends_with("NotFound") || code.starts_with("NoSuch") {
            self.known.lock().unwrap().forget(call);
        }
        if let Some(reply) = reply.filter(|_| code == "ok") {
            self.known.lock().unwrap().learn(operation, call, &reply, &mut self.random);
        }
        // What did not read may have changed something, also if its answer was lost.
        let reads = ["Describe", "List", "Get", "Head"].iter().any(|word| operation.starts_with(word));
        if !reads && (code == "ok" || code == "lost") {
            let violations = self.api.admin("GET", "integrity", "").await;
            assert_eq!(violations, json!([]), "after seed {}: {operation} {call}", self.seed);
        }
    }
}

/// Sends requests to whatever listens, until it is told to stop: configurations change under them.
async fn traffic(mut api: Api, stop: CancellationToken) {
    let mut random = StdRng::seed_from_u64(1);
    while !stop.is_cancelled() {
        let listeners = api.admin("GET", "listeners", "").await;
        if let Some(row) =
            listeners.as_array().unwrap().choose(&mut random).filter(|row| row["transport"] == json!("tcp") && row["bound"].is_u64())
        {
            let at = format!("{}:{}", row["address"].as_str().unwrap(), row["bound"]);
            let path = ["/", "/a1", "/jwt", "/cognito", "/v1/2", "/%ff?k=1"].choose(&mut random).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a1.example.com\r\nX-Version: v1\r\nConnection: close\r\n\r\n");
            let exchange = async {
                let mut client = Client::over(tokio::net::TcpStream::connect(&at).await.ok()?);
                tokio::io::AsyncWriteExt::write_all(&mut client.stream, request.as_bytes()).await.ok()?;
                client.reply(false).await
            };
            // What comes of it is for other tests to tell; a target may well not answer.
            let _ = tokio::time::timeout(Duration::from_millis(200), exchange).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that the cloud holds, without the ids of rules of security groups, which come back under others.
async fn holdings(api: &mut Api) -> Value {
    let mut state = api.admin("GET", "state", "").await;
    state["revision"] = json!(null);
    for group in state["security_groups"].as_array_mut().unwrap() {
        let rules = group["rules"].as_object().unwrap().values();
        let mut rules: Vec<String> = rules.map(|rule| json!([rule["permission"], rule["description"], rule["tags"]]).to_string()).collect();
        rules.sort();
        group["rules"] = json!(rules);
    }
    json!({ "state": state, "inventory": api.admin("GET", "inventory", "").await })
}

/// What two values differ in.
fn difference(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                difference(
                    &format!("{path}/{key}"),
                    before.get(key).unwrap_or(&Value::Null),
                    after.get(key).unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).zip(0..).for_each(|((before, after), at)| difference(&format!("{path}/{at}"), before, after, found));
        }
        _ if before != after => found.push(format!("{path}: {before} became {after}")),
        _ => {}
    }
}

#[track_caller]
fn assert_same(what: &str, before: &Value, after: &Value) {
    let mut found = Vec::new();
    difference("", before, after, &mut found);
    assert!(found.is_empty(), "{what}: {found:#?}");
}

/// The resident memory of this process in KiB, and how many files it has open.
fn usage() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    (resident.unwrap(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

/// The calls are made in a process of their own, so that its panics, memory and files are theirs.
#[test]
fn a_great_many_calls_leave_everything_whole() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(everything());
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "api::random::a_great_many_calls_leave_everything_whole", "--nocapture", "--test-threads=1"]);
    let output = command.env(ALONE, "1").output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    println!("{stdout}");
    let end = stderr.chars().count().saturating_sub(20_000);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{}", stderr.chars().skip(end).collect::<String>());
}

async fn everything() {
    let panics = panics();
    let seed = std::env::var("PORTICO_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (PORTICO_TEST_SEED)");
    let folder = Folder::new("random");
    let times = Times {
        network_interface_lag: Duration::from_millis(20),
        instance_lag: Duration::from_millis(20),
        target_group_delete_lag: Duration::from_millis(5),
        certificate_delete_lag: Duration::from_millis(5),
        trust_store_creation: Duration::from_millis(5),
        listener_lag: Duration::from_millis(2),
        deregistration_scale: 0.0001,
        ..Times::default()
    };
    let config = config(seed);
    // No other cloud is in this process.
    let addresses = AddressPool { cidr: IpNet::new(config.addresses.cidr.addr(), 25).unwrap().trunc() };
    let config = CloudConfig { addresses, times, state_file: Some(folder.file()), ..config };
    let operations = Arc::new(operations());
    let tally = Arc::new(Mutex::new(Tally::default()));

    let mut cloud = Cloud::start(config.clone()).await.unwrap();
    let mut api = Api::new(&cloud);
    // Nobody leaves Shield Advanced before the year is over.
    api.call(Service::Shield, "CreateSubscription", "{}").await;
    let quotas = r#"{"quotas": {"acm-certificates-created-in-last-365-days": 1000000, "elastic-ip-addresses": 24}}"#;
    let settings = api.admin("PUT", "settings", quotas).await;
    let (start, network) = (holdings(&mut api).await, api.admin("GET", "state", "").await);
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let (mut sizes, mut documents) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        api.admin("POST", "faults", FAULTS).await;
        let (stop, mut clients) = (CancellationToken::new(), tokio::task::JoinSet::new());
        let served = tokio::spawn(traffic(Api::new(&cloud), stop.clone()));
        let known = Arc::new(Mutex::new(Known::network(&mut api).await));
        for number in 0..CLIENTS {
            let seed = seed.wrapping_add((CLIENTS * round + number) as u64);
            let caller = Caller {
                api: Api::new(&cloud),
                seed,
                random: StdRng::seed_from_u64(seed),
                known: Arc::clone(&known),
                operations: Arc::clone(&operations),
                tally: Arc::clone(&tally),
            };
            clients.spawn(caller.run(calls() / CLIENTS / rounds(), round == 0 && number == 0));
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        stop.cancel();
        soon(served).await.unwrap();
        api.admin("DELETE", "faults", "").await;
        let calls = api.admin("GET", "calls", "").await;
        assert!(calls["in_flight"].as_object().is_none_or(serde_json::Map::is_empty), "{calls}");

        // Whatever it came to is still there after a restart.
        let before = holdings(&mut api).await;
        let in_force = api.admin("GET", "settings", "").await.to_string();
        cloud.shutdown().await;
        cloud = Cloud::start(config.clone()).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        api = Api::new(&cloud);
        api.admin("PUT", "settings", &in_force).await;
        // What leaves by itself may have left meanwhile.
        let after = holdings(&mut api).await;
        assert_same("a restart", &lasting(&before), &lasting(&after));

        // Nothing is left over when everything is deleted.
        cleanup::clear(&mut api, &network).await;
        assert_eq!(api.admin("PUT", "settings", &settings.to_string()).await, settings);
        assert_same("all was deleted", &start, &holdings(&mut api).await);
        let gone = async {
            // This client's connection is a task of the cloud's, too.
            while api.admin("GET", "listeners", "").await != json!([]) || Handle::current().metrics().num_alive_tasks() > tasks_before + 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(gone).await;
        assert_eq!(api.admin("GET", "requests", "").await, json!({ "rules": {}, "target_groups": {} }));
        assert_eq!(api.admin("GET", "integrity", "").await, json!([]));
        api.admin("POST", "reset", "calls").await;
        sizes.push(usage());
        documents.push(document(&folder).await);
        println!("round {}: memory (KiB) and open files {:?}, the state file {:?} bytes", round + 1, sizes[round], documents[round]);
    }
    cloud.shutdown().await;
    // The first round fills what is kept of calls, and warms the allocator up.
    let ((early, files), (late, files_late)) = (sizes[rounds() / 3], sizes[rounds() - 1]);
    assert!(late < early + GROWTH, "memory grows: {sizes:?}");
    assert!(files_late <= files + 4, "files stay open: {sizes:?}");
    assert!(documents[rounds() - 1] < documents[0] + 256 * 1024, "the state grows: {documents:?}");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "seed {seed}: something panicked");
    judge(seed, &operations, &tally.lock().unwrap());
}

/// What does not come or leave by itself: neither network interfaces of load balancers that have gone, nor targets that drain, nor instances that were
/// terminated, nor logs that are delivered.
fn lasting(holdings: &Value) -> Value {
    fn without(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, member| !member.get("draining").is_some_and(|until| !until.is_null() && until != &json!(false)));
                members.retain(|key, _| key != "used" && !key.ends_with(".log.gz"));
                members.values_mut().for_each(without);
            }
            Value::Array(items) => {
                items.retain(|item| ["gone_at", "terminated"].iter().all(|end| item.get(end).is_none_or(Value::is_null)));
                items.iter_mut().for_each(without);
            }
            _ => {}
        }
    }
    let mut left = holdings.clone();
    without(&mut left);
    left
}

/// The size of the state file, when it has been written for what there is now.
async fn document(folder: &Folder) -> usize {
    tokio::time::sleep(Duration::from_millis(600)).await;
    std::fs::metadata(folder.file()).unwrap().len().try_into().unwrap()
}

/// Every operation was called, each that can work did, and errors of all kinds came.
fn judge(seed: u64, operations: &[(Service, String)], tally: &Tally) {
    let names = operations.iter().map(|(service, name)| (service.signing_name(), name.clone()));
    let uncalled: Vec<_> = names.filter(|name| !tally.called.contains(name)).collect();
    assert!(uncalled.is_empty(), "seed {seed}: never called: {uncalled:?}");
    let refused: BTreeSet<(&str, &str)> = REFUSED.iter().map(|(service, name)| (service.signing_name(), *name)).collect();
    let worked: BTreeSet<(&str, &str)> = tally.succeeded.keys().map(|(service, name)| (*service, name.as_str())).collect();
    let all: BTreeSet<(&str, &str)> = TEMPLATES.iter().map(|template| (template.service.signing_name(), template.operation)).collect();
    let failed: Vec<_> = all.difference(&worked).filter(|name| !refused.contains(*name)).collect();
    println!("{} operations, {} error codes; successes: {:?}", all.len(), tally.codes.len(), tally.succeeded);
    // A sample need not come upon each.
    assert!(failed.len() <= if is_full() { 0 } else { 10 }, "seed {seed}: never succeeded: {failed:?}; {:?}", tally.codes);
    let unexpected: Vec<_> = worked.intersection(&refused).collect();
    assert!(unexpected.is_empty(), "{unexpected:?} can succeed: take it off the list");
    assert!(tally.codes.len() > 80 && tally.codes.contains_key("lost"), "{:?}", tally.codes);
}
