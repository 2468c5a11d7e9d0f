//! The buckets into which load balancers write their logs.

use std::collections::BTreeMap;

use hyper::body::Bytes;

use super::attribute;
use crate::error::{Answer, ApiError};
use crate::s3::{Version, policy};
use crate::state::State;

/// The kinds of logs: the beginning of their attributes, and the file that proves that they can be written.
const LOGS: &[(&str, &str)] = &[
    ("access_logs", "ELBAccessLogTestFile"),
    ("connection_logs", "ELBConnectionLogTestFile"),
    ("health_check_logs", "ELBHealthCheckLogTestFile"),
];

impl State {
    /// Whether the logs that these attributes of a load balancer switch on can be written: the bucket is there, in this region, and its policy
    /// allows it. Writes a test file for each kind that was not `before` written to the same place, as AWS does.
    pub fn open_logs(&mut self, before: &BTreeMap<String, String>, attributes: &BTreeMap<String, String>) -> Answer<()> {
        let mut files = Vec::new();
        for (log, file) in LOGS {
            let of = |set: &BTreeMap<String, String>| {
                ["enabled", "bucket", "prefix"].map(|key| attribute::value(attribute::LOAD_BALANCER, set, &format!("{log}.s3.{key}")))
            };
            let [enabled, bucket, prefix] = of(attributes);
            if enabled != "true" || of(before) == [enabled, bucket.clone(), prefix.clone()] {
                continue;
            }
            let refuse = |message: String| Err(ApiError::new("InvalidConfigurationRequest", message));
            if bucket.is_empty() {
                return refuse(format!("The value of '{log}.s3.bucket' cannot be empty"));
            }
            if prefix.contains("AWSLogs") {
                return refuse(format!("The value of '{log}.s3.prefix' cannot contain 'AWSLogs'"));
            }
            let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
            let key = format!("{prefix}{slash}AWSLogs/{}/{file}", self.config.account);
            let Some(found) = self.s3.buckets.get(&bucket).filter(|found| !found.managed) else {
                return refuse(format!("S3Bucket: {bucket} is not located in the same region with ELB or does not exist"));
            };
            if !policy::lets_load_balancers_write(found, &key, &self.config.region) {
                return refuse(format!("Access Denied for bucket: {bucket}. Please check S3bucket permission"));
            }
            files.push((bucket, key));
        }
        for (bucket, key) in files {
            self.write_log(&bucket, &key, Bytes::from(format!("Enable AccessLog for ELB at {}\n", self.now)));
        }
        Ok(())
    }

    /// Writes a file into a bucket, as a service that may. Nothing is written if the bucket has gone.
    pub fn write_log(&mut self, bucket: &str, key: &str, content: Bytes) {
        let version = Version::new(self, content, "text/plain");
        if let Some(bucket) = self.s3.buckets.get_mut(bucket) {
            bucket.write(&mut self.ids, key, version);
        }
    }
}
