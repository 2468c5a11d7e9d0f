//! The buckets into which load balancers write their logs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Bytes;
use jiff::Timestamp;

use super::attribute;
use super::load_balancer::LoadBalancer;
use crate::dataplane::config::{HealthCheckLog, LogKind, LogOptions, LogStream};
use crate::error::{Answer, ApiError};
use crate::s3::{Version, policy};
use crate::state::State;

/// A bucket takes no more logs when its objects have so many bytes: what fills it is memory here.
const BUCKET_LIMIT: usize = 256 << 20;

/// The kinds of logs: the beginning of their attributes, the file that proves that they can be written, and the beginning of files' names.
const LOGS: &[(LogKind, &str, &str, &str)] = &[
    (LogKind::Access, "access_logs", "ELBAccessLogTestFile", ""),
    (LogKind::Connections, "connection_logs", "ELBConnectionLogTestFile", "conn_log_"),
    (LogKind::HealthChecks, "health_check_logs", "ELBHealthCheckLogTestFile", "health_check_log_"),
];

/// `enabled`, `bucket` and `prefix` among attributes.
fn settings(set: &BTreeMap<String, String>, log: &str) -> [String; 3] {
    ["enabled", "bucket", "prefix"].map(|key| attribute::value(attribute::LOAD_BALANCER, set, &format!("{log}.s3.{key}")))
}

impl LoadBalancer {
    /// Where a log goes; None if it is not kept.
    fn log_stream(&self, kind: LogKind) -> Option<Arc<LogStream>> {
        let (_, log, _, _) = LOGS.iter().find(|(known, _, _, _)| *known == kind)?;
        let [enabled, bucket, prefix] = settings(&self.attributes, log);
        (enabled == "true").then(|| Arc::new(LogStream { kind, load_balancer: self.full_name().to_string(), bucket, prefix }))
    }

    /// The logs that it keeps.
    pub fn log_options(&self) -> LogOptions {
        LogOptions {
            load_balancer: self.full_name().to_string(),
            dns_name: self.dns_name.clone(),
            access: self.log_stream(LogKind::Access),
            connections: self.log_stream(LogKind::Connections),
        }
    }

    /// The log of the health checks of a target group, which has this name.
    pub fn health_check_log(&self, target_group: &str) -> Option<HealthCheckLog> {
        let stream = self.log_stream(LogKind::HealthChecks)?;
        Some(HealthCheckLog { stream, target_group: target_group.to_string(), node: self.address()? })
    }
}

/// Entries that are to be delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which log, and where it goes.
    pub stream: Arc<LogStream>,
    /// The address of the load balancer's node.
    pub node: IpAddr,
    /// The end of the interval.
    pub end: Timestamp,
    /// The entries, compressed.
    pub content: Bytes,
}

/// `PREFIX/AWSLogs/ACCOUNT/`.
fn folder(prefix: &str, account: &str) -> String {
    let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    format!("{prefix}{slash}AWSLogs/{account}/")
}

impl State {
    /// Whether the logs that these attributes of a load balancer switch on can be written: the bucket is there, in this region, and its policy
    /// allows it. Writes a test file for each kind that was not `before` written to the same place, as AWS does.
    pub fn open_logs(&mut self, before: &BTreeMap<String, String>, attributes: &BTreeMap<String, String>) -> Answer<()> {
        let mut files = Vec::new();
        for (_, log, file, _) in LOGS {
            let [enabled, bucket, prefix] = settings(attributes, log);
            if enabled != "true" || settings(before, log) == [enabled, bucket.clone(), prefix.clone()] {
                continue;
            }
            let refuse = |message: String| Err(ApiError::new("InvalidConfigurationRequest", message));
            if bucket.is_empty() {
                return refuse(format!("The value of '{log}.s3.bucket' cannot be empty"));
            }
            if prefix.contains("AWSLogs") {
                return refuse(format!("The value of '{log}.s3.prefix' cannot contain 'AWSLogs'"));
            }
            let key = format!("{}{file}", folder(&prefix, &self.config.account));
            let Some(found) = self.s3.buckets.get(&bucket).filter(|found| !found.managed) else {
                return refuse(format!("S3Bucket: {bucket} is not located in the same region with ELB or does not exist"));
            };
            if !policy::lets_load_balancers_write(found, &key, &self.config.region) {
                return refuse(format!("Access Denied for bucket: {bucket}. Please check S3bucket permission"));
            }
            files.push((bucket, key));
        }
        for (bucket, key) in files {
            self.write_log(&bucket, &key, Bytes::from(format!("Enable AccessLog for ELB at {}\n", self.now)), "text/plain");
        }
        Ok(())
    }

    /// Delivers entries of a log, and answers with the object's bucket and key.
    ///
    /// # Errors
    /// If the bucket has gone, does not let Elastic Load Balancing write any more, or is full.
    pub fn deliver_log(&mut self, delivery: Delivery) -> Result<(String, String), String> {
        let Delivery { stream, node, end, content } = delivery;
        let bucket = stream.bucket.clone();
        let key = self.log_key(&stream, node, end);
        let found = self.s3.buckets.get(&bucket).ok_or_else(|| format!("the bucket {bucket} does not exist"))?;
        if !policy::lets_load_balancers_write(found, &key, &self.config.region) {
            return Err(format!("the policy of the bucket {bucket} does not let Elastic Load Balancing write {key}"));
        }
        if found.size() + content.len() > BUCKET_LIMIT {
            return Err(format!("the bucket {bucket} has {BUCKET_LIMIT} bytes, and takes no more logs until objects are deleted"));
        }
        self.write_log(&bucket, &key, content, "application/x-gzip");
        Ok((bucket, key))
    }

    /// The key of a file (AWS: "Access log files", "Connection log files", "Health check log files").
    fn log_key(&mut self, stream: &LogStream, node: IpAddr, end: Timestamp) -> String {
        let (account, region) = (self.config.account.clone(), self.config.region.clone());
        let (balancer, random) = (stream.load_balancer.replace('/', "."), self.ids.letters(8));
        let beginning = LOGS.iter().find(|(kind, _, _, _)| *kind == stream.kind).map_or("", |(_, _, _, beginning)| *beginning);
        // Those of network load balancers do not name the node.
        let node = if balancer.starts_with("net.") { String::new() } else { format!("_{node}") };
        let (day, end) = (self.now.strftime("%Y/%m/%d"), end.strftime("%Y%m%dT%H%MZ"));
        format!(
            "{}elasticloadbalancing/{region}/{day}/{beginning}{account}_elasticloadbalancing_{region}_{balancer}_{end}{node}_{random}.log.gz",
            folder(&stream.prefix, &account)
        )
    }

    /// Writes a file into a bucket, as a service that may. Nothing is written if the bucket has gone.
    fn write_log(&mut self, bucket: &str, key: &str, content: Bytes, content_type: &str) {
        let version = Version::new(self, content, content_type);
        if let Some(bucket) = self.s3.buckets.get_mut(bucket) {
            bucket.write(&mut self.ids, key, version);
        }
    }
}
