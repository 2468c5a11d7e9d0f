//! A real Envoy and its virtual hosts, which are told one by one: what a change costs, and what requests meet meanwhile.

use crate::backend::Backend;
use crate::behaviour::{at, pass, serve};
use crate::client::{Answer, get, is_whole};
use crate::fleet::{PATIENCE, Replica};
use crate::lifecycle::{Load, count};
use crate::proxy::{Form, Proxy};
use portico_providers::Provider;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A route for a hostname; `more` goes into its match.
fn rule(hostname: &str, more: &str, backends: &str) -> String {
    let name = hostname.trim_matches(['"', '*', '.']);
    format!("{{ route: team-a/{name}, rule: 0, hostname: {hostname}, http: {{ path: {{ prefix: / }}{more} }}, backends: [{backends}] }}")
}

fn port(number: u16, rules: &[String]) -> String {
    format!("{{ port: {number}, listeners: [{{ rules: [{}] }}] }}", rules.join(", "))
}

fn plan(ports: &[String]) -> String {
    format!("ports: [{}]", ports.join(", "))
}

const A: &str = "\"team-a/a:80\"";
const B: &str = "\"team-a/b:80\"";
/// Envoy wants the sum of weights to fit into 32 bits.
const TOO_HEAVY: &str = "\"2147483647 x team-a/a:80\", \"2147483647 x team-a/b:80\", \"2147483647 x team-a/b:80\"";

struct Backends {
    a: Backend,
    b: Backend,
}

impl Backends {
    fn start() -> Self {
        Self { a: Backend::start("a"), b: Backend::start("b") }
    }

    fn endpoints(&self) -> BTreeMap<&'static str, Vec<SocketAddr>> {
        BTreeMap::from([("team-a/a", vec![self.a.at]), ("team-a/b", vec![self.b.at])])
    }
}

fn who(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body.lines().next().unwrap_or_default())
}

/// Waits until requests for a host are answered so.
fn until(to: SocketAddr, host: &str, expected: (u16, &str)) {
    let start = Instant::now();
    loop {
        let answer = get(to, host, "/");
        // Without a backend the body is Envoy's.
        let expected = |answer: &Answer| who(answer) == expected || (answer.status == expected.0 && expected.1.is_empty());
        if answer.as_ref().is_ok_and(expected) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{host}: {answer:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const KINDS: [&str; 6] = ["cluster", "endpoints", "secret", "listener", "routes", "virtual-host"];

/// What one changed match among so many hostnames sends: bytes of the virtual hosts, after nothing else was sent.
async fn cost(address: &str, hostnames: usize) -> u64 {
    let backends = Backends::start();
    let names: Vec<String> = (0..hostnames).map(|number| format!("h{number:05}.example.com")).collect();
    let rules = |more: &str| -> Vec<String> {
        names.iter().enumerate().map(|(index, name)| rule(name, if index == 3 { more } else { "" }, A)).collect()
    };
    let served = serve(address, &plan(&[port(80, &rules(""))]), &backends.endpoints()).await;
    let bytes = |kind: &str| count(&served.replica.envoy, "xds_bytes_total", kind);
    let before = KINDS.map(bytes);
    assert!(before[5] > 0, "this Envoy is told of virtual hosts by themselves");
    let stack = pass(&served.replica, address, &plan(&[port(80, &rules(", method: GET"))]), &backends.endpoints()).await;
    served.replica.acknowledged(&stack).await;
    for (kind, before) in KINDS.iter().zip(before).take(5) {
        assert_eq!(bytes(kind), before, "{kind}");
    }
    // One more stands for all other names.
    assert_eq!(count(&served.replica.envoy, "xds_resources_total", "virtual-host"), hostnames as u64 + 1 + 1);
    let sent = bytes("virtual-host") - before[5];
    drop(served.proxy);
    served.replica.stop().await;
    sent
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn one_changed_match_costs_its_hostname() {
    let few = cost("127.92.0.10", 10).await;
    assert_eq!(cost("127.92.0.10", 1000).await, few);
    assert!(few < 1000, "{few} bytes");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn a_new_listener_never_answers_without_its_routes() {
    let backends = Backends::start();
    let here = "127.92.0.11";
    let rules: Vec<String> = (0..200).map(|number| rule(&format!("h{number}.example.com"), "", A)).collect();
    let served = serve(here, &plan(&[port(80, &rules)]), &backends.endpoints()).await;
    for number in 8001..8013 {
        // From the moment on when somebody listens.
        let client = std::thread::spawn(move || {
            let start = Instant::now();
            loop {
                match get(at(here, number), "h199.example.com", "/") {
                    Ok(answer) => return answer,
                    Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
                }
            }
        });
        let stack = pass(&served.replica, here, &plan(&[port(80, &rules), port(number, &rules)]), &backends.endpoints()).await;
        assert_eq!(who(&client.join().unwrap()), (200, "a"));
        served.replica.acknowledged(&stack).await;
    }
    // A proxy that starts listens when it has all routes.
    for (form, name) in [(Form::Delta, "late"), (Form::World, "older")] {
        let late = Proxy::start(&[served.replica.at], form, name);
        let stack = pass(&served.replica, here, &plan(&[port(80, &rules)]), &backends.endpoints()).await;
        served.replica.until(&stack, "another proxy", |it| it.proxies == 2 && it.acknowledged == 2 && it.waiting == 0).await;
        drop(late);
        served.replica.until(&stack, "one proxy", |it| it.proxies == 1).await;
    }
    drop(served.proxy);
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn names_move_between_virtual_hosts_without_a_lost_request() {
    let backends = Backends::start();
    let here = "127.92.0.12";
    let others: Vec<String> = (0..50).map(|number| rule(&format!("h{number}.example.org"), "", A)).collect();
    let with = |rules: Vec<String>| plan(&[port(80, &[others.clone(), rules].concat())]);
    let served = serve(here, &with(vec![rule("www.example.com", "", A)]), &backends.endpoints()).await;
    let load = Load::start(at(here, 80));
    load.go_on(10);
    let exact = |to: &str| rule("www.example.com", "", to);
    let wide = |to: &str| rule("\"*.example.com\"", "", to);
    for _ in 0..10 {
        // One goes in the moment when the other comes, with a Service that the proxy does not have yet.
        for rules in [vec![wide(B)], vec![exact(A), wide(B)], vec![exact(B)], vec![wide(A)], vec![exact(A)]] {
            let stack = pass(&served.replica, here, &with(rules), &backends.endpoints()).await;
            served.replica.acknowledged(&stack).await;
            load.go_on(3);
        }
    }
    load.end();
    until(at(here, 80), "other.example.com", (404, ""));
    drop(served.proxy);
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn a_virtual_host_that_envoy_refuses_costs_no_other() {
    let backends = Backends::start();
    let here = "127.92.0.13";
    let web = at(here, 80);
    let names: Vec<String> = (0..40).map(|number| format!("h{number}.example.com")).collect();
    let all = |to: &str, bad: &str| -> String {
        let rules = names.iter().enumerate().map(|(index, name)| rule(name, "", if index == 7 { bad } else { to }));
        plan(&[port(80, &rules.collect::<Vec<_>>())])
    };
    let served = serve(here, &all(A, A), &backends.endpoints()).await;
    let stack = pass(&served.replica, here, &all(B, TOO_HEAVY), &backends.endpoints()).await;
    let progress = served.replica.until(&stack, "refused", |it| !it.refusals.is_empty()).await;
    let prefix = "virtual-host gateway/infra/web/80/*/h7.example.com: ";
    assert!(progress.refusals.len() == 1 && progress.refusals[0].starts_with(prefix), "{progress:?}");
    assert!(progress.refusals[0].contains("weight"), "{progress:?}");
    // What is good of the same change is served; of what is not, what was there before.
    until(web, "h6.example.com", (200, "b"));
    until(web, "h39.example.com", (200, "b"));
    assert_eq!(who(&get(web, "h7.example.com", "/").unwrap()), (200, "a"));
    // So do proxies that come later, in either form.
    drop(served.proxy);
    served.replica.until(&stack, "no proxy", |it| it.proxies == 0).await;
    for form in [Form::Delta, Form::World] {
        let late = Proxy::start(&[served.replica.at], form, "late");
        served.replica.until(&stack, "a proxy", |it| it.proxies == 1).await;
        let start = Instant::now();
        while late.counter("listener_manager.total_listeners_active") == 0 {
            assert!(start.elapsed() < PATIENCE, "no listener comes");
            std::thread::sleep(Duration::from_millis(20));
        }
        until(web, "h7.example.com", (200, "a"));
        until(web, "h6.example.com", (200, "b"));
        drop(late);
        served.replica.until(&stack, "no proxy", |it| it.proxies == 0).await;
    }
    // One that has nothing of it serves the rest, too.
    let replica = Replica::start("127.0.0.1:0", served.replica.keys.clone()).await;
    let stack = pass(&replica, here, &all(B, TOO_HEAVY), &backends.endpoints()).await;
    replica.envoy.is_complete();
    let proxy = Proxy::start(&[replica.at], Form::Delta, "new");
    replica.until(&stack, "refused", |it| !it.refusals.is_empty()).await;
    until(web, "h6.example.com", (200, "b"));
    until(web, "h7.example.com", (404, ""));
    let stack = pass(&replica, here, &all(B, B), &backends.endpoints()).await;
    replica.acknowledged(&stack).await;
    until(web, "h7.example.com", (200, "b"));
    drop(proxy);
    replica.stop().await;
    served.replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn what_changed_while_nobody_was_there_is_told_and_nothing_else() {
    let backends = Backends::start();
    let here = "127.92.0.14";
    let web = at(here, 80);
    let rules = |changed: &str| -> Vec<String> {
        let host = |number: i32, to: &str| rule(&format!("h{number}.example.com"), "", to);
        (0..100).map(|number| host(number, if number == 5 { changed } else { A })).collect()
    };
    let both = [port(80, &rules(A)), port(8080, &rules(A))];
    let served = serve(here, &plan(&both), &backends.endpoints()).await;
    let (mut replica, proxy) = (served.replica, served.proxy);
    // The second time without h6, and then with it again.
    for (step, to, gone) in [(0, A, None), (1, B, Some(6)), (2, B, None), (3, A, None)] {
        let (address, keys) = (replica.at.to_string(), replica.keys.clone());
        replica.stop().await;
        replica = Replica::start(&address, keys).await;
        let mut changed = rules(to);
        if let Some(gone) = gone {
            changed.remove(gone);
        }
        let stack = pass(&replica, here, &plan(&[port(80, &changed), port(8080, &rules(A))]), &backends.endpoints()).await;
        replica.envoy.is_complete();
        replica.acknowledged(&stack).await;
        let sent = KINDS.map(|kind| count(&replica.envoy, "xds_resources_total", kind));
        let expected = [0, 1, 1, 1][step];
        assert_eq!((sent[3], sent[4], sent[5]), (0, 0, expected), "{step}: {sent:?}");
        until(web, "h5.example.com", (200, if to == A { "a" } else { "b" }));
        until(web, "h6.example.com", if gone.is_some() { (404, "") } else { (200, "a") });
        // A listener that goes and comes again finds its routes.
        let stack = pass(&replica, here, &plan(&[port(80, &changed)]), &backends.endpoints()).await;
        replica.acknowledged(&stack).await;
        let stack = pass(&replica, here, &plan(&[port(80, &changed), port(8080, &rules(A))]), &backends.endpoints()).await;
        replica.acknowledged(&stack).await;
        until(at(here, 8080), "h99.example.com", (200, "a"));
    }
    drop(proxy);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn a_connection_that_ends_with_its_listener_is_served_until_then() {
    let backends = Backends::start();
    let here = "127.92.0.15";
    let rules = [rule("www.example.com", "", A)];
    let both = plan(&[port(80, &rules), port(8080, &rules)]);
    let served = serve(here, &both, &backends.endpoints()).await;
    for _ in 0..3 {
        let mut socket = TcpStream::connect(at(here, 8080)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut ask = || -> std::io::Result<String> {
            socket.write_all(b"GET / HTTP/1.1\r\nhost: www.example.com\r\n\r\n")?;
            let mut text = String::new();
            let mut buffer = [0; 4096];
            loop {
                match socket.read(&mut buffer)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    read => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                }
                if is_whole(&text) {
                    return Ok(text);
                }
            }
        };
        assert!(ask().unwrap().starts_with("HTTP/1.1 200"));
        let stack = pass(&served.replica, here, &plan(&[port(80, &rules)]), &backends.endpoints()).await;
        served.replica.acknowledged(&stack).await;
        // Envoy says when it is the last answer on this connection; until it closes, routes are what they were.
        let mut answers = 0;
        while let Ok(answer) = ask() {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answers += 1;
            if answer.contains("connection: close") || answers == 1000 {
                break;
            }
        }
        let stack = pass(&served.replica, here, &both, &backends.endpoints()).await;
        served.replica.acknowledged(&stack).await;
    }
    drop(served.proxy);
    served.replica.stop().await;
}
