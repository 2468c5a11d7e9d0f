//! A real Envoy.

use portico_envoy_xds::bootstrap::{Bootstrap, bootstrap};
use serde_json::json;
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
        let settings = Bootstrap {
            fleet: "portico".into(),
            node: node.into(),
            servers: servers.iter().map(|at| (at.ip().to_string(), at.port())).collect(),
            tls: None,
            token_file: None,
            admin: Some(("127.0.0.1".into(), 0)),
        };
        let mut document = bootstrap(&settings);
        if form == Form::World {
            document["dynamic_resources"]["ads_config"]["api_type"] = json!("GRPC");
        }
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
