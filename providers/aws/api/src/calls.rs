//! How every call is made: within the budget, counted, and never repeated by the SDK.

use crate::budget::{Budget, Kind};
use crate::error::{Class, Failure, Named};
use crate::fence;
use crate::metrics::Counters;
use crate::region::Region;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::sync::Arc;
use std::time::Duration;

/// Times that a read is repeated.
const REPEATS: usize = 5;

/// The budget of a region's calls, with who counts them.
#[derive(Debug)]
pub(crate) struct Calls {
    budget: Budget,
    counters: Arc<Counters>,
}

impl Calls {
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { budget: Budget::default(), counters }
    }

    /// Waits until a call of this kind may be made.
    pub async fn admit(&self, kind: Kind) {
        let waited = self.budget.admit(kind).await;
        self.counters.waited(kind, waited);
    }

    /// Makes a call that was admitted, once.
    async fn once<T, E>(
        &self,
        kind: Kind,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let answer = call.await.named(operation);
        if matches!(&answer, Err(failure) if failure.class() == Class::Throttled) {
            self.budget.slow_down(kind);
        }
        self.counters.made(operation, answer.as_ref().err());
        self.counters.rate(kind, self.budget.rate(kind));
        answer
    }

    /// Reads: a call that changes nothing may be repeated as it is, where it was throttled or its answer was lost.
    async fn read<T, E, F>(&self, kind: Kind, operation: &'static str, call: impl Fn() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(REPEATS)
            .with_jitter()
            .build();
        loop {
            self.admit(kind).await;
            let failure = match self.once(kind, operation, call()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match pauses.next().filter(|_| matches!(failure.class(), Class::Throttled | Class::Unclear)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(failure),
            }
        }
    }
}

impl Region {
    /// A call that changes nothing.
    pub async fn read<T, E, F>(&self, kind: Kind, operation: &'static str, call: impl Fn() -> F) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.calls.read(kind, operation, call).await
    }

    /// A call that changes something, already admitted, behind the fence.
    pub async fn change<T, E>(
        &self,
        kind: Kind,
        operation: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if !fence::is_open() {
            return Err(Failure::fenced(operation));
        }
        self.calls.once(kind, operation, call).await
    }
}
