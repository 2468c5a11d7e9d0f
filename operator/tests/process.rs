//! `portico run` and `portico plan` as processes, against an API server of the test's and an embedded cloud.

use std::process::Stdio;
use std::time::Duration;

use portico_cloud::Cloud;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::apiserver::ApiServer;
use crate::harness::PORTICO;

/// Longest wait for anything: only a hanging test sees its end.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn command(server: &ApiServer, cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut command = Command::new(PORTICO);
    // Nothing of the caller's environment may matter.
    command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null());
    command.env("KUBECONFIG", server.kubeconfig()).env("AWS_ENDPOINT_URL", cloud.endpoint()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// What a command printed, its errors, and its exit code.
pub async fn portico(server: &ApiServer, cloud: &Cloud, arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = command(server, cloud, arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// A running operator.
pub struct Operator {
    child: Child,
    log: watch::Receiver<Vec<Value>>,
    address: String,
}

impl Operator {
    /// Starts it; it need not be ready.
    pub async fn start(server: &ApiServer, cloud: &Cloud, arguments: &[&str]) -> Self {
        let mut all = vec!["run", "--no-leader-election", "--listen", "127.0.0.1:0", "--log-format", "json"];
        all.extend_from_slice(arguments);
        let mut child = command(server, cloud, &all).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said, mut log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // Every line is JSON, whatever happens.
                let line: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                said.send_modify(|lines| lines.push(line));
            }
        });
        let begun = log.wait_for(|lines| !lines.is_empty()).await.unwrap()[0].clone();
        let address = begun.get("address").and_then(Value::as_str).expect("the first line tells the address").to_owned();
        Self { child, log, address }
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.borrow().clone()
    }

    /// Status and body of one of its endpoints.
    pub async fn get(&self, path: &str) -> (u16, String) {
        use http_body_util::BodyExt;
        let stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get(path).header("host", "test").body(String::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn ready(&self) {
        until("the operator is ready", async || (self.get("/readyz").await.0 == 200).then_some(())).await;
    }

    /// Ends it as Kubernetes does; its exit code.
    pub async fn end(mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
        tokio::time::timeout(LIMIT, self.child.wait()).await.unwrap().unwrap().code()
    }
}
