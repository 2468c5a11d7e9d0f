//! The record of calls: counts by operation, and the last calls with their parameters and outcomes.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use crate::wire::Input;

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// Its number since the start of the log.
    pub number: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// The service's signing name.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// Whether it is a mutation.
    pub mutation: bool,
    /// Its parameters as they came over the wire.
    pub parameters: BTreeMap<String, String>,
    /// `ok`, an error code, or `lost` or `held` for a call whose answer was lost or held back on purpose.
    pub outcome: String,
    /// The error's message, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The id that the caller got.
    pub request_id: String,
}

impl Call {
    /// What the call is about: a name or id among its parameters, for people.
    pub fn subject(&self) -> &str {
        const NAMES: [&str; 8] =
            ["Name", "GroupName", "RuleArn", "ListenerArn", "LoadBalancerArn", "TargetGroupArn", "GroupId", "ResourceArns.member.1"];
        let found = NAMES.iter().find_map(|name| self.parameters.get(*name));
        found.map_or("", |text| text.rsplit_once(':').map_or(text.as_str(), |(_, tail)| tail))
    }
}

/// Parameters that no log may show.
const SECRET: &[&str] = &["PrivateKey", "Passphrase", "ClientSecret"];
/// Longer values (certificates, say) are cut.
const LONGEST: usize = 4096;

/// The parameters of a call, for the log.
pub fn parameters(input: &Input) -> BTreeMap<String, String> {
    let show = |(path, mut value): (String, String)| {
        if path.rsplit('.').next().is_some_and(|name| SECRET.contains(&name)) {
            value = "(redacted)".into();
        }
        if value.len() > LONGEST {
            value = value.chars().take(LONGEST).chain("…".chars()).collect();
        }
        (path, value)
    };
    input.leaves().into_iter().map(show).collect()
}

/// Counts of calls.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// All calls.
    pub total: u64,
    /// Calls of operations that change nothing.
    pub reads: u64,
    /// Calls of operations that may change something.
    pub mutations: u64,
    /// Calls by `service.operation`.
    pub operations: BTreeMap<String, u64>,
    /// Those of them that got an error or lost their response, by `service.operation`.
    pub errors: BTreeMap<String, u64>,
    /// Calls that have arrived and are not carried out yet, by `service.operation`; the figures above do not count them yet.
    pub in_flight: BTreeMap<String, u64>,
}

/// Counts and the last calls.
#[derive(Debug)]
pub struct CallLog {
    counts: Counts,
    calls: VecDeque<Call>,
    capacity: usize,
    next: u64,
}

impl CallLog {
    /// An empty log that keeps so many calls.
    pub fn new(capacity: usize) -> Self {
        Self { counts: Counts::default(), calls: VecDeque::new(), capacity, next: 1 }
    }

    /// A call has arrived.
    pub fn begin(&mut self, service: &str, operation: &str) {
        *self.counts.in_flight.entry(format!("{service}.{operation}")).or_default() += 1;
    }

    /// A call that had arrived is carried out, or its caller has gone.
    pub fn end(&mut self, service: &str, operation: &str) {
        let name = format!("{service}.{operation}");
        let left = self.counts.in_flight.remove(&name).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            self.counts.in_flight.insert(name, left);
        }
    }

    /// Adds a call.
    pub fn record(&mut self, mut call: Call) {
        call.number = self.next;
        self.next += 1;
        let name = format!("{}.{}", call.service, call.operation);
        self.counts.total += 1;
        let kind = if call.mutation { &mut self.counts.mutations } else { &mut self.counts.reads };
        *kind += 1;
        if call.outcome != "ok" {
            *self.counts.errors.entry(name.clone()).or_default() += 1;
        }
        *self.counts.operations.entry(name).or_default() += 1;
        if self.calls.len() >= self.capacity {
            self.calls.pop_front();
        }
        if self.capacity > 0 {
            self.calls.push_back(call);
        }
    }

    /// The counts.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The last calls, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Call> {
        self.calls.iter().skip(self.calls.len().saturating_sub(count))
    }

    /// Forgets everything but the calls in flight; numbers go on.
    pub fn reset(&mut self) {
        self.counts = Counts { in_flight: std::mem::take(&mut self.counts.in_flight), ..Counts::default() };
        self.calls.clear();
    }
}
