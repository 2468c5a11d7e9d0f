//! A cloud, and a raw client of its API.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use portico_cloud::service::Protocol;
pub use portico_cloud::service::Service;
use portico_cloud::{AddressPool, Cloud, CloudConfig, Times};
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::dataplane::harness::{Client, Reply, soon};

/// A fresh account whose load balancers listen where no other test's do, and whose ids follow from a seed.
pub fn config(seed: u64) -> CloudConfig {
    CloudConfig { addresses: AddressPool { cidr: pool() }, seed: Some(seed), times: Times::default(), ..CloudConfig::default() }
}

/// A /28 of its own for each cloud of this process, away from the addresses that the data plane's tests hand out.
fn pool() -> ipnet::IpNet {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let process = std::process::id();
    let part = NEXT.fetch_add(1, Ordering::Relaxed) % 16;
    let address = Ipv4Addr::new(127, 128 + u8::try_from((process >> 8) % 64).unwrap(), (process % 256) as u8, part * 16);
    ipnet::IpNet::new(address.into(), 28).unwrap()
}

/// A connection to a cloud's API.
pub struct Api {
    address: SocketAddr,
    client: Option<Client<BufReader<TcpStream>>>,
}

impl Api {
    pub fn new(cloud: &Cloud) -> Self {
        Self { address: cloud.address(), client: None }
    }

    /// An answer, or none if the cloud closed the connection without one. What a call consists of is as the service's protocol has it: parameters of a form, JSON,
    /// or, where methods and paths say it all, `METHOD PATH NAME:VALUE…` with the body in the lines below.
    pub async fn send(&mut self, service: Service, operation: &str, call: &str) -> Option<Reply> {
        let (line, headers, body) = match (service.protocol(), service.target()) {
            (Protocol::Rest, _) => {
                let (head, body) = call.split_once('\n').unwrap_or((call, ""));
                let mut words = head.split(' ');
                let line = format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default());
                (line, words.map(|header| format!("{header}\r\n")).collect(), body.to_owned())
            }
            (_, Some(target)) => {
                let headers = format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}.{operation}\r\n");
                ("POST /".to_owned(), headers, call.to_owned())
            }
            _ => {
                let headers = "Content-Type: application/x-www-form-urlencoded\r\n".to_owned();
                ("POST /".to_owned(), headers, format!("Action={operation}&Version={}&{call}", service.version()))
            }
        };
        self.exchange(&format!(
            "{line} HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, \
             Signature=0\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            service.signing_name(),
            body.len()
        ))
        .await
    }

    /// A call that succeeds; its answer.
    pub async fn call(&mut self, service: Service, operation: &str, parameters: &str) -> String {
        let reply = self.send(service, operation, parameters).await.expect("an answer");
        assert!((200..300).contains(&reply.status), "{operation} {parameters}: {} {}", reply.status, reply.body);
        reply.body
    }

    /// A security group that lets everybody in.
    pub async fn open_group(&mut self, vpc: &str) -> String {
        let group = self.call(Service::Ec2, "CreateSecurityGroup", &format!("GroupName=lb&GroupDescription=x&VpcId={vpc}")).await;
        let group = element(&group, "groupId").unwrap();
        let open = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0";
        self.call(Service::Ec2, "AuthorizeSecurityGroupIngress", &format!("GroupId={group}&{open}")).await;
        group
    }

    /// Something of the admin API.
    pub async fn admin(&mut self, method: &str, path: &str, body: &str) -> Value {
        let length = body.len();
        let reply = self.exchange(&format!("{method} /_cloud/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{method} {path} {body}: {}", reply.body);
        serde_json::from_str(&reply.body).expect("JSON")
    }

    /// Puts something into S3.
    pub async fn put(&mut self, path: &str, body: &str) {
        self.call(Service::S3, "PutObject", &format!("PUT {path}\n{body}")).await;
    }

    async fn exchange(&mut self, request: &str) -> Option<Reply> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::over(BufReader::new(Client::connect(self.address).await.stream)),
        };
        soon(client.stream.write_all(request.as_bytes())).await.ok()?;
        let reply = client.reply(request.starts_with("HEAD ")).await?;
        if reply.header("connection") != Some("close") {
            self.client = Some(client);
        }
        Some(reply)
    }
}

/// The text of the first element with this name.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(text, _)| text.to_owned())
}
