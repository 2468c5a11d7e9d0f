//! Faults on demand: throttling, errors, lost requests and responses, answers that never come, delays.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::operation::Kind;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 400 `Throttling` "Rate exceeded" (ACM, WAF and Shield: `ThrottlingException`, tagging: `ThrottledException`, Service Quotas:
    /// `TooManyRequestsException`, EC2: 503 `RequestLimitExceeded`, S3: 503 `SlowDown`); nothing is changed.
    Throttle,
    /// An error; nothing is changed.
    Error {
        /// The wire code.
        code: String,
        /// The HTTP status.
        #[serde(default = "default_status")]
        status: u16,
        /// The message.
        #[serde(default)]
        message: String,
    },
    /// The connection is closed before the call is carried out: nothing is changed, nothing is answered.
    LostRequest,
    /// The call is carried out, and then the connection is closed without a response.
    LostResponse,
    /// The call is never carried out and never answered; the connection stays open until the caller or the cloud ends.
    HeldRequest,
    /// The call is carried out but never answered; the connection stays open until the caller or the cloud ends. Whoever kills the caller
    /// now kills it between this call and all that would have followed.
    HeldResponse,
    /// The call is carried out after a while.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
}

fn default_status() -> u16 {
    500
}

/// When and to which calls something goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// An operation (`CreateRule`, `elasticloadbalancing.CreateRule`), a service (`elasticloadbalancing`), `reads`, `mutations` or `*`.
    #[serde(default = "everything", alias = "service")]
    pub operation: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// The share of matching calls that it hits, 0–1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Only the n-th matching call, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Every n-th matching call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// How many more times it happens; none: without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// Matching calls so far.
    #[serde(default)]
    pub seen: u64,
    /// How often it has happened.
    #[serde(default)]
    pub happened: u64,
}

fn everything() -> String {
    "*".into()
}

impl Fault {
    fn matches(&self, service: &str, operation: &str, kind: Kind) -> bool {
        match self.operation.as_str() {
            "*" => true,
            "reads" => kind == Kind::Read,
            "mutations" => kind == Kind::Write,
            name => name == operation || name == service || name.split_once('.') == Some((service, operation)),
        }
    }
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    faults: Vec<Fault>,
    random: StdRng,
}

/// What the faults do to one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Wait first.
    pub delay: Duration,
    /// Answer with this error instead of carrying the call out.
    pub error: Option<ApiError>,
    /// What happens to the connection instead of an answer.
    pub loss: Option<Loss>,
}

/// What happens to a connection instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whether the call is carried out all the same.
    pub carried_out: bool,
    /// Whether the connection stays open, without ever an answer; else it is closed.
    pub held: bool,
}

impl Loss {
    /// How the log calls it.
    pub fn word(self) -> &'static str {
        if self.held { "held" } else { "lost" }
    }
}

impl Faults {
    /// No faults; with a seed, rates hit the same calls in every run.
    pub fn new(seed: Option<u64>) -> Self {
        Self { faults: Vec::new(), random: seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64) }
    }

    /// Adds faults.
    pub fn add(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// Removes all faults.
    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// The faults with their counts.
    pub fn list(&self) -> &[Fault] {
        &self.faults
    }

    /// What happens to this call. Delays add up; of errors, the first one counts.
    pub fn strike(&mut self, service: &str, operation: &str, kind: Kind) -> Effect {
        let mut effect = Effect::default();
        for fault in self.faults.iter_mut().filter(|fault| fault.matches(service, operation, kind)) {
            fault.seen += 1;
            let due = fault.nth.is_none_or(|nth| nth == fault.seen)
                && fault.every.is_none_or(|every| every > 0 && fault.seen.is_multiple_of(every))
                && fault.remaining.is_none_or(|remaining| remaining > 0)
                && fault.rate.is_none_or(|rate| self.random.random_bool(rate.clamp(0.0, 1.0)));
            if !due {
                continue;
            }
            fault.happened += 1;
            fault.remaining = fault.remaining.map(|remaining| remaining.saturating_sub(1));
            match &fault.kind {
                FaultKind::Delay { ms } => effect.delay += Duration::from_millis(*ms),
                FaultKind::LostRequest => drop(effect.loss.get_or_insert(Loss { carried_out: false, held: false })),
                FaultKind::LostResponse => drop(effect.loss.get_or_insert(Loss { carried_out: true, held: false })),
                FaultKind::HeldRequest => drop(effect.loss.get_or_insert(Loss { carried_out: false, held: true })),
                FaultKind::HeldResponse => drop(effect.loss.get_or_insert(Loss { carried_out: true, held: true })),
                FaultKind::Throttle => {
                    effect.error.get_or_insert(match service {
                        "ec2" => ApiError::with_status("RequestLimitExceeded", "Request limit exceeded.", 503),
                        "s3" => ApiError::with_status("SlowDown", "Please reduce your request rate.", 503),
                        "acm" | "wafv2" | "waf-regional" | "shield" => ApiError::new("ThrottlingException", "Rate exceeded"),
                        "servicequotas" => ApiError::new("TooManyRequestsException", "Rate exceeded"),
                        "tagging" => ApiError::new("ThrottledException", "Rate exceeded"),
                        _ => ApiError::new("Throttling", "Rate exceeded"),
                    });
                }
                FaultKind::Error { code, status, message } => {
                    effect.error.get_or_insert(ApiError::with_status(code.clone(), message.clone(), *status));
                }
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(fault: &str, calls: usize) -> Vec<usize> {
        let mut faults = Faults::new(Some(1));
        faults.add(vec![serde_json::from_str(fault).unwrap()]);
        (1..=calls).filter(|_| faults.strike("elasticloadbalancing", "CreateRule", Kind::Write) != Effect::default()).collect()
    }

    #[test]
    fn faults_happen_when_they_are_told_to() {
        let rows: [(&str, &[usize]); 10] = [
            (r#"{"operation":"CreateRule","kind":"throttle"}"#, &[1, 2, 3, 4]),
            (r#"{"operation":"elasticloadbalancing.CreateRule","kind":"throttle","nth":2}"#, &[2]),
            (r#"{"service":"elasticloadbalancing","kind":"lost_response","every":2}"#, &[2, 4]),
            (r#"{"kind":"held_response","nth":3}"#, &[3]),
            (r#"{"operation":"mutations","kind":"lost_request","nth":4}"#, &[4]),
            (r#"{"operation":"mutations","kind":{"delay":{"ms":1}},"remaining":1}"#, &[1]),
            (r#"{"operation":"reads","kind":"throttle"}"#, &[]),
            (r#"{"operation":"ec2.CreateRule","kind":"throttle"}"#, &[]),
            (r#"{"kind":{"error":{"code":"ServiceUnavailable","status":503}},"rate":0.0}"#, &[]),
            (r#"{"kind":{"error":{"code":"ServiceUnavailable"}},"rate":1.0}"#, &[1, 2, 3, 4]),
        ];
        for (fault, expected) in rows {
            assert_eq!(hits(fault, 4), expected, "{fault}");
        }
    }

    #[test]
    fn misspelt_faults_are_refused() {
        assert!(serde_json::from_str::<Fault>(r#"{"operation":"*","kind":"throtle"}"#).is_err());
        assert!(serde_json::from_str::<Fault>(r#"{"operation":"*","kind":"throttle","rates":1}"#).is_err());
    }
}
