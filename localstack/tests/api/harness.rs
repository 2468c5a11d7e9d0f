//! A cloud, and a raw client of its API.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

use portico_cloud::{AddressPool, Cloud, CloudConfig, Times};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::dataplane::harness::{Client, Reply, soon};

/// How a service is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Elb,
    Ec2,
    Sts,
    Acm,
    Tagging,
}

impl Service {
    /// The name in signatures, the API version of calls with parameters, the prefix of the target of calls with JSON.
    fn spoken(self) -> (&'static str, Result<&'static str, &'static str>) {
        match self {
            Self::Elb => ("elasticloadbalancing", Ok("2015-12-01")),
            Self::Ec2 => ("ec2", Ok("2016-11-15")),
            Self::Sts => ("sts", Ok("2011-06-15")),
            Self::Acm => ("acm", Err("CertificateManager")),
            Self::Tagging => ("tagging", Err("ResourceGroupsTaggingAPI_20170126")),
        }
    }
}

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
    client: Option<Client>,
}

impl Api {
    pub fn new(cloud: &Cloud) -> Self {
        Self { address: cloud.address(), client: None }
    }

    /// An answer, or none if the cloud closed the connection without one.
    pub async fn send(&mut self, service: Service, operation: &str, parameters: &str) -> Option<Reply> {
        let (name, spoken) = service.spoken();
        let (more, body) = match spoken {
            Ok(version) => {
                let kind = "Content-Type: application/x-www-form-urlencoded\r\n".to_owned();
                (kind, format!("Action={operation}&Version={version}&{parameters}"))
            }
            Err(target) => {
                (format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}.{operation}\r\n"), parameters.to_owned())
            }
        };
        self.exchange(&format!(
            "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/{name}/aws4_request, SignedHeaders=host, \
             Signature=0\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// A call that succeeds; its answer.
    pub async fn call(&mut self, service: Service, operation: &str, parameters: &str) -> String {
        let reply = self.send(service, operation, parameters).await.expect("an answer");
        assert_eq!(reply.status, 200, "{operation} {parameters}: {}", reply.body);
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
        serde_json::from_str(&reply.expect("an answer").body).expect("JSON")
    }

    /// Puts something into S3.
    pub async fn put(&mut self, path: &str, body: &str) {
        let reply = self
            .exchange(&format!(
                "PUT {path} HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, \
                 SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(reply.map(|reply| reply.status), Some(200), "{path}");
    }

    async fn exchange(&mut self, request: &str) -> Option<Reply> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(self.address).await,
        };
        soon(client.stream.write_all(request.as_bytes())).await.ok()?;
        let reply = client.reply(false).await?;
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
