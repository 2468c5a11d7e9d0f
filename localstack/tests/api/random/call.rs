//! Calls at random: right ones, spoilt ones, and nonsense.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portico_cloud::service::{Protocol, Service};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::super::restart::AUTHORITY;
use super::known::Known;
use super::template::TEMPLATES;

/// The beginning of a permission, of which the peer is left out.
const PERMISSION: &str = "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort={port}";

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

/// Names of parameters that some operation reads, from the source.
static VOCABULARY: LazyLock<Vec<String>> = LazyLock::new(|| {
    let name = Regex::new(
        r#"(?:text|required|strings|required_strings|items|child|flag|list|texts|parse(?:::<[^>]*>)?)\(\s*"([A-Z][A-Za-z0-9]*)""#,
    )
    .unwrap();
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
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

/// A call: its service, its operation, and what it consists of.
pub type Call = (Service, String, String);

/// A call with its holes filled, and now and then spoilt.
pub fn call(known: &Known, operations: &[(Service, String)], random: &mut StdRng) -> Call {
    for _ in 0..20 {
        let (service, operation, call) = any_call(known, operations, random);
        if !known.is_irreparable(&operation, &call) {
            return (service, operation, call);
        }
    }
    (Service::Sts, "GetCallerIdentity".into(), String::new())
}

fn any_call(known: &Known, operations: &[(Service, String)], random: &mut StdRng) -> Call {
    if random.random_ratio(1, 20) {
        let (service, operation) = operations.choose(random).unwrap().clone();
        let call = nonsense(service, known, random);
        return (service, operation, call);
    }
    let mut template = TEMPLATES.choose(random).unwrap();
    if ["Delete", "Release"].iter().any(|word| template.operation.starts_with(word)) && random.random_ratio(2, 3) {
        // There is more to do where there is something.
        template = TEMPLATES.choose(random).unwrap();
    }
    let call = filled(template.call, known, random);
    let call = if random.random_ratio(1, 4) { spoilt(call, template.service, known, random) } else { call };
    (template.service, template.operation.to_owned(), call)
}

/// A template with its holes filled.
fn filled(template: &str, known: &Known, random: &mut StdRng) -> String {
    static HOLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([a-z_0-9]+)\}").unwrap());
    let text = template.replace("{any}", &format!("{PERMISSION}&IpPermissions.1.")).replace("{pair}", PAIRS.choose(random).unwrap());
    let text = text.replace("{authority}", &AUTHORITY.0).replace("{revoked}", &AUTHORITY.1);
    let fill = |hole: &Captures<'_>| match &hole[1] {
        "n" => random.random_range(1..9).to_string(),
        "few" => random.random_range(1..4).to_string(),
        "port" => random.random_range(20_000..20_008).to_string(),
        "flag" => ["true", "false"].choose(random).unwrap().to_string(),
        // Mostly the account's own network, which load balancers can use.
        "vpc" if random.random_ratio(3, 4) => known.some("own", random),
        kind => known.some(kind, random),
    };
    HOLE.replace_all(&text, fill).into_owned()
}

/// Values that hardly any parameter takes.
fn odd(random: &mut StdRng) -> String {
    let long = "x".repeat(random.random_range(100..20_000));
    let values = [
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
        "1e9",
        "0x10",
        "10.0.0.0/33",
        "::1",
        "%2F",
        "2026-01-01T00:00:00Z",
        &long,
    ];
    values.choose(random).unwrap().to_string()
}

/// A parameter, at some depth, which now and then is a depth that nobody means.
fn parameter(known: &Known, random: &mut StdRng) -> String {
    let mut path = VOCABULARY.choose(random).unwrap().clone();
    let depth = if random.random_ratio(1, 100) { 3000 } else { random.random_range(0..3) };
    for _ in 0..depth {
        let step = [".member.1", ".1", ""].choose(random).unwrap();
        path = format!("{path}{step}.{}", VOCABULARY.choose(random).unwrap());
    }
    let value = match random.random_range(0..4) {
        0 => odd(random),
        1 => random.random_range(0..100).to_string(),
        _ => known.any(random),
    };
    format!("{path}={value}")
}

/// A call of which nothing is meant.
pub fn nonsense(service: Service, known: &Known, random: &mut StdRng) -> String {
    let parameters: Vec<String> = (0..random.random_range(0..6)).map(|_| parameter(known, random)).collect();
    match (service.protocol(), service.target()) {
        (Protocol::Rest, _) => {
            let method = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"].choose(random).unwrap();
            let path = ["/", "/2013-04-01/hostedzone/x/rrset", "/bucket-1", "/bucket-1/k1", "/%00/%ff", "//"].choose(random).unwrap();
            let body = if random.random_ratio(1, 50) { "<a>".repeat(20_000) } else { parameters.join("") };
            format!("{method} {path}?{}\n{body}", parameters.join("&").chars().filter(char::is_ascii_alphanumeric).collect::<String>())
        }
        (_, Some(_)) if random.random_ratio(1, 50) => format!("{}{}", "[".repeat(5000), "]".repeat(5000)),
        (_, Some(_)) => {
            let pairs = parameters.iter().filter_map(|one| one.split_once('='));
            json!(pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<String, Value>>()).to_string()
        }
        _ => parameters.join("&"),
    }
}

fn spoilt(call: String, service: Service, known: &Known, random: &mut StdRng) -> String {
    match (service.protocol(), service.target()) {
        (Protocol::Rest, _) => spoilt_request(call, known, random),
        (_, Some(_)) => spoilt_json(&call, known, random),
        _ => spoilt_form(&call, known, random),
    }
}

fn spoilt_form(call: &str, known: &Known, random: &mut StdRng) -> String {
    let mut parameters: Vec<String> = call.split('&').map(str::to_owned).collect();
    let index = random.random_range(0..parameters.len());
    let name = parameters[index].split('=').next().unwrap_or_default().to_owned();
    match random.random_range(0..8) {
        0 => drop(parameters.remove(index)),
        1 => parameters.push(parameter(known, random)),
        2 => parameters[index] = format!("{name}={}", odd(random)),
        3 => parameters[index] = format!("{name}={}", known.any(random)),
        4 => parameters[index] = parameters[index].replace(".member.1", ".member.0").replace(".1.", ".77."),
        5 => parameters[index] = parameters[index].to_ascii_uppercase(),
        // A list that is longer than lists may be.
        6 => parameters.extend((2..70).map(|at| parameters[index].replacen(".1", &format!(".{at}"), 1)).collect::<Vec<_>>()),
        _ => parameters.push(parameters[index].clone()),
    }
    parameters.join("&")
}

fn spoilt_json(call: &str, known: &Known, random: &mut StdRng) -> String {
    if random.random_ratio(1, 8) {
        let cut = random.random_range(0..=call.len());
        return call.get(..cut).unwrap_or_default().to_owned();
    }
    let Ok(mut value) = serde_json::from_str::<Value>(call) else { return call.to_owned() };
    let mut paths = Vec::new();
    pointers(&value, String::new(), &mut paths);
    let Some(path) = paths.choose(random) else { return json!([call]).to_string() };
    let (parent, key) = path.rsplit_once('/').unwrap();
    let put = match random.random_range(0..7) {
        0 => None,
        1 => Some(json!(odd(random))),
        2 => Some(json!(known.any(random))),
        3 => Some(json!([value.pointer(path)])),
        4 => Some(json!(-1.5)),
        5 => Some(json!({ "Key": { "Value": null } })),
        _ => Some(json!(vec!["x"; 300])),
    };
    match (value.pointer_mut(parent), put) {
        (Some(Value::Object(members)), None) => drop(members.remove(key)),
        (Some(Value::Object(members)), Some(put)) => drop(members.insert(key.to_owned(), put)),
        (Some(Value::Array(items)), Some(put)) => items.push(put),
        (Some(Value::Array(items)), None) => items.clear(),
        _ => {}
    }
    value.to_string()
}

fn pointers(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter().filter(|(key, _)| !key.contains(['/', '~'])) {
                found.push(format!("{path}/{key}"));
                pointers(member, format!("{path}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                found.push(format!("{path}/{at}"));
                pointers(item, format!("{path}/{at}"), found);
            }
        }
        _ => {}
    }
}

fn spoilt_request(call: String, known: &Known, random: &mut StdRng) -> String {
    let (head, body) = call.split_once('\n').unwrap_or((&call, ""));
    match random.random_range(0..8) {
        0 => format!("{}\n", call.replacen(head.split(' ').next().unwrap_or_default(), "POST", 1)),
        1 => format!("{head} x-amz-acl:public-read\n{body}"),
        2 => format!("{head} content-md5:{} range:bytes=9-1\n{body}", STANDARD.encode(odd(random))),
        3 => format!("{head}\n{}", body.get(..random.random_range(0..=body.len())).unwrap_or_default()),
        4 => format!("{head}\n{}", body.replacen('<', &format!("<x a=\"{}\"/><", odd(random)), 3)),
        5 => {
            let (method, rest) = head.split_once(' ').unwrap_or((head, "/"));
            let path = format!("/{}%20{}", odd(random).replace(['[', ' '], "%"), rest.trim_start_matches('/'));
            format!("{method} {path}\n{body}")
        }
        6 => format!("{head}\n{}", body.replace("10.0.0.1", &odd(random)).replace("UPSERT", &known.any(random))),
        _ => format!("{head}\n{}", body.replace("</Name>", "</Name><Weight>1</Weight>").replace("<Key>", "<Key></Key><Key>")),
    }
}
