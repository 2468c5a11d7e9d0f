//! A real Envoy.

use serde_json::{Value, json};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Which form of the protocol it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Delta,
    World,
}

/// Only what the protocol needs. What people start proxies with is `portico envoy bootstrap`, which the lab's proxies have.
fn bootstrap(servers: &[SocketAddr], form: Form, node: &str) -> Value {
    let address = |at: &SocketAddr| json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } });
    let endpoints: Vec<Value> = servers.iter().map(|at| json!({ "endpoint": { "address": address(at) } })).collect();
    let http2 = json!({ "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} } });
    let api = match form {
        Form::Delta => "DELTA_GRPC",
        Form::World => "GRPC",
    };
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    json!({
        "node": { "id": node, "cluster": "portico" },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "dynamic_resources": {
            "ads_config": { "api_type": api, "transport_api_version": "V3", "grpc_services": [{ "envoy_grpc": { "cluster_name": "portico" } }] },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": { "clusters": [{
            "name": "portico",
            "type": "STATIC",
            "connect_timeout": "5s",
            "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 },
            "load_assignment": { "cluster_name": "portico", "endpoints": [{ "lb_endpoints": endpoints }] },
        }] },
        // Envoy's own limit of 100 instructions is shorter than many a path.
        "layered_runtime": { "layers": [{ "name": "portico", "static_layer": { "re2.max_program_size.error_level": 10_000 } }] },
    })
}

/// An Envoy process, ended when this is dropped.
pub struct Proxy {
    child: Child,
    folder: TempDir,
}

impl Proxy {
    /// Starts one that takes its configuration from a server.
    pub fn start(servers: &[SocketAddr], form: Form, node: &str) -> Self {
        let program = std::env::var_os("PORTICO_ENVOY").expect("PORTICO_ENVOY says where Envoy is");
        let folder = tempfile::tempdir().unwrap();
        let document = bootstrap(servers, form, node);
        let config = folder.path().join("bootstrap.json");
        std::fs::write(&config, document.to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(PathBuf::from(program))
            .arg("--config-path")
            .arg(&config)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info", "--drain-time-s", "2", "--admin-address-path"])
            .arg(folder.path().join("admin"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Where its administration listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        std::fs::read_to_string(self.folder.path().join("admin")).ok()?.trim().parse().ok()
    }

    /// A page of its administration.
    pub fn ask(&self, path: &str) -> Option<String> {
        crate::client::get(self.admin()?, "localhost", path).ok().map(|answer| answer.body)
    }

    /// One of its counters.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.ask(&format!("/stats?filter=^{name}$")).unwrap_or_default();
        text.rsplit(": ").next().and_then(|number| number.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().filter(|line| !line.contains("[info]")).take(40).collect();
            eprintln!("Envoy's log, newest first:\n{}", tail.join("\n"));
        }
    }
}
