//! The fence: no call that changes something leaves a process that does not hold the lease.
//!
//! The lease is looked at where a request is signed and ready, right before it is sent: a process that was frozen in between, for longer than its lease, finds out
//! before it does harm. What remains is the time between that look and the socket.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use portico_providers::Leadership;
use std::sync::Arc;

tokio::task_local! {
    static LEADERSHIP: Arc<dyn Leadership>;
}

/// Does work whose calls leave only while the lease is held.
pub(crate) async fn behind<T>(leadership: &Arc<dyn Leadership>, work: impl Future<Output = T>) -> T {
    LEADERSHIP.scope(Arc::clone(leadership), work).await
}

/// Whether the work under way is behind the fence, and the lease is held.
pub(crate) fn is_open() -> bool {
    LEADERSHIP.try_with(|leadership| leadership.is_leader()).unwrap_or(false)
}

/// The lease is not held any more.
#[derive(Debug, thiserror::Error)]
#[error("this process no longer holds the lease")]
pub(crate) struct Fallen;

/// The fence, as the SDK's clients take it. Work that is not behind it, which only reads, passes.
#[derive(Debug)]
pub(crate) struct Fence;

impl Intercept for Fence {
    fn name(&self) -> &'static str {
        "Fence"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match LEADERSHIP.try_with(|leadership| leadership.is_leader()) {
            Ok(false) => Err(Fallen.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Kind;
    use crate::error::Class;
    use crate::metrics::Counters;
    use crate::region::Region;
    use aws_sdk_elasticloadbalancingv2::config::{BehaviorVersion, Credentials, SharedCredentialsProvider};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Leads for so many looks, then no more.
    struct LeadsFor(AtomicUsize);

    impl Leadership for LeadsFor {
        fn is_leader(&self) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        }
    }

    fn region(endpoint: &TcpListener) -> Region {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", endpoint.local_addr().unwrap()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
            .build();
        Region::new(&config, "us-east-1", None, Arc::new(Counters::default()), Arc::default())
    }

    async fn delete(region: &Region, leads_for: Option<usize>) -> Class {
        let call = region.change(Kind::ElbChange, "DeleteRule", region.elb.delete_rule().rule_arn("arn").send());
        let answer = match leads_for {
            None => call.await,
            Some(looks) => behind(&(Arc::new(LeadsFor(AtomicUsize::new(looks))) as Arc<dyn Leadership>), call).await,
        };
        answer.unwrap_err().class()
    }

    #[tokio::test]
    async fn a_request_that_is_ready_when_the_lease_is_lost_is_not_sent() {
        let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
        endpoint.set_nonblocking(true).unwrap();
        let region = region(&endpoint);
        assert_eq!(delete(&region, None).await, Class::Fenced, "nobody said who leads");
        assert_eq!(delete(&region, Some(0)).await, Class::Fenced, "lost before");
        assert_eq!(delete(&region, Some(1)).await, Class::Fenced, "lost while the request was made");
        assert!(endpoint.accept().is_err(), "nothing was sent");
        // Who leads sends it: to nobody, here.
        drop(endpoint);
        assert_eq!(delete(&region, Some(2)).await, Class::Unclear);
    }
}
