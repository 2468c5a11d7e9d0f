//! The documentation says what the code does.

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect_file;
use portico::keeper::{Keeper, SharedWorld};
use portico::metrics::Metrics;
use portico::plan;
use portico::watch::{Seen, Sighting};
use portico_aws_api::supported::{FEATURES, Support};
use portico_aws_api::{Aws, AwsOptions};
use portico_providers::{ClusterId, ProviderError};

use crate::harness::{parse, secure};
use portico::clouds::Clouds;
use portico_envoy_xds::Envoy;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../providers/aws/api/src");

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap()
}

/// The first column of the tables of a page that holds code.
fn first_cells(page: &str) -> BTreeSet<String> {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

#[tokio::test]
async fn every_metric_is_listed_and_nothing_else() {
    let metrics = Metrics::default();
    let options = AwsOptions { region: Some("us-east-1".into()), emulated: true, ..AwsOptions::default() };
    let aws = Aws::connect(options).await;
    metrics.register(|registry| Clouds::new(aws, Envoy::new()).register_metrics(registry));
    // What has no value yet is not printed, but registered.
    let mut shown = String::new();
    metrics.register(|registry| shown = format!("{registry:?}"));
    let mut registered = BTreeSet::new();
    for descriptor in shown.split("Descriptor { name: \"").skip(1) {
        let (name, rest) = descriptor.split_once('"').unwrap();
        let unit = if rest.split("Descriptor {").next().unwrap().contains("unit: Some(Seconds)") { "_seconds" } else { "" };
        registered.insert(format!("portico_{name}{unit}"));
    }
    assert!(registered.len() > 15, "{shown}");
    let page = first_cells(&page("metrics.md"));
    let listed: BTreeSet<String> = page.iter().map(|name| name.strip_suffix("_total").unwrap_or(name).to_owned()).collect();
    assert_eq!(listed, registered);
    // Of what is printed, counters end in `_total`.
    for (name, kind) in metrics.render().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(page.contains(&name), "{name}");
    }
}

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Every call of an SDK client in the source: a method of `elb`, `ec2` or `acm`, by whatever name the client goes.
fn calls() -> BTreeSet<String> {
    let mut text = String::new();
    sources(Path::new(API), &mut text);
    let text: String = text.split_whitespace().collect();
    let mut calls = BTreeSet::new();
    for (client, service) in [("elb", "elasticloadbalancing"), ("ec2", "ec2"), ("acm", "acm")] {
        for (at, _) in text.match_indices(client) {
            let rest = &text[at + client.len()..];
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
            let rest = rest.strip_prefix("()").unwrap_or(rest);
            let Some(rest) = rest.strip_prefix('.') else { continue };
            let method: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let verb = method.split('_').next().unwrap_or_default();
            let verbs = [
                "describe",
                "create",
                "modify",
                "delete",
                "set",
                "add",
                "remove",
                "register",
                "deregister",
                "authorize",
                "revoke",
                "list",
                "get",
                "import",
            ];
            if rest[method.len()..].starts_with("()") && verbs.contains(&verb) && method.contains('_') {
                let name: String = method
                    .split('_')
                    .map(|word| if word == "ssl" { word.to_uppercase() } else { word[..1].to_uppercase() + &word[1..] })
                    .collect();
                calls.insert(format!("{service}:{name}"));
            }
        }
    }
    calls
}

#[test]
fn the_iam_policy_permits_the_calls_that_are_made_and_no_others() {
    let policy: serde_json::Value = serde_json::from_str(&page("iam-policy.json")).unwrap();
    let mut permitted = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        let actions = &statement["Action"];
        let actions = actions.as_array().cloned().unwrap_or_else(|| vec![actions.clone()]);
        permitted.extend(actions.iter().map(|action| action.as_str().unwrap().to_owned()));
    }
    // AWS itself makes this one, in the name of whoever makes an account's first load balancer.
    assert!(permitted.remove("iam:CreateServiceLinkedRole"));
    assert!(permitted.iter().all(|action| !action.contains('*')), "{permitted:?}");
    assert_eq!(permitted, calls());
}

/// `UPDATE_EXPECT=1 cargo test` rewrites the page's table.
#[test]
fn the_page_on_httproutes_shows_the_table_that_is_claimed() {
    const BEGIN: &str = "<!-- features: generated, do not edit -->\n";
    const END: &str = "<!-- end of features -->";
    let old = page("httproute-on-alb.md");
    let (before, rest) = old.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = String::from("| feature | served | |\n|---|---|---|\n");
    for (name, support) in FEATURES {
        let (word, note) = match support {
            Support::Native => ("yes", ""),
            Support::Served(note) => ("yes, not claimed", *note),
            Support::Refused(note) => ("no", *note),
        };
        table.push_str(&format!("| {name} | {word} | {note} |\n"));
    }
    let new = format!("{before}{BEGIN}{table}{END}{after}");
    expect_file![Path::new(DOCS).join("httproute-on-alb.md")].assert_eq(&new);
}

#[test]
fn every_reason_of_an_event_for_a_failure_is_explained() {
    let operations = page("operations.md");
    let text = || "x".to_owned();
    let errors = [
        ProviderError::Throttled { operation: text(), message: text() },
        ProviderError::Transient { operation: text(), message: text() },
        ProviderError::Busy { operation: text(), message: text() },
        ProviderError::NotReady { message: text() },
        ProviderError::Denied { operation: text(), message: text() },
        ProviderError::Limit { operation: text(), message: text() },
        ProviderError::Invalid { operation: text(), code: text(), message: text() },
        ProviderError::Foreign { resource: text(), message: text() },
        ProviderError::Settings { message: text() },
    ];
    for class in errors.iter().map(ProviderError::class).chain(["kubernetes"]) {
        let reason = portico::events::reason(class);
        assert!(reason != "Failed" && operations.contains(reason), "{class}: {reason}");
    }
}

/// What readers copy from the pages, one after the other, is served without a complaint.
#[tokio::test]
async fn manifests_of_pages_are_served_as_they_stand() {
    let secret = secure::new_secret("shop", "shop.example.com").replace(r#""namespace":"shop""#, r#""namespace":"default""#);
    let mut sightings = Vec::new();
    for name in ["../README.md", "install.md", "tls.md"] {
        let text = page(name);
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block) {
            sightings.push(parse(block));
        }
    }
    assert!(sightings.len() >= 5, "{} manifests", sightings.len());
    sightings.push(parse(&secret));
    let world = SharedWorld::default();
    let seen = sightings.into_iter().flatten().map(|(kind, object)| Sighting { kind, seen: Seen::Applied(object) });
    Keeper::new(world.clone(), BTreeSet::new()).take(seen);
    let units = world.read().units().collect();
    let document = plan::make(&world, &ClusterId("docs".into()), units, BTreeSet::new(), None).await;
    let shown = document.text(None);
    let summary = serde_json::to_value(&document).unwrap()["summary"].clone();
    for bad in ["refusals", "problems", "errors"] {
        assert_eq!(summary[bad], 0, "{shown}");
    }
    // TLS: what nobody has looked for yet is shown by its hostname.
    assert!(shown.contains("the certificate that ACM has for news.example.com"), "{shown}");
}

#[test]
fn links_of_pages_lead_somewhere() {
    let readme = std::fs::read_to_string(Path::new(DOCS).join("../README.md")).unwrap();
    for entry in std::fs::read_dir(DOCS).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(text) = name.ends_with(".md").then(|| page(&name)) else { continue };
        assert!(readme.contains(&format!("docs/{name}")), "the README does not lead to {name}");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let file = link.split('#').next().unwrap_or_default();
            assert!(link.starts_with("http") || Path::new(DOCS).join(file).exists(), "{name}: {link}");
        }
    }
}
