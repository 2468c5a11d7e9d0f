//! Gauges of where load balancers stand: kept up to date by each pass's news, at the cost of that news.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use portico_providers::{LoadBalancerState, Refusal, RefusalCause, UnitId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::news::News;

/// One label: where a load balancer stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabel {
    /// `active`, `provisioning`, `failed`, `absent` or `error`.
    pub state: &'static str,
}

/// One label: why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CauseLabel {
    /// `unsupported`, `quota` or `invalid`.
    pub cause: &'static str,
}

/// Where each load balancer stands, and what of it is refused.
#[derive(Debug, Default)]
pub struct Standing {
    /// Load balancers by state.
    pub states: Family<StateLabel, Gauge>,
    /// Refusals by cause.
    pub refusals: Family<CauseLabel, Gauge>,
    units: Mutex<BTreeMap<UnitId, Stand>>,
}

#[derive(Clone, Debug, Default)]
struct Stand {
    state: Option<&'static str>,
    refusals: BTreeMap<&'static str, i64>,
}

impl Standing {
    fn units(&self) -> MutexGuard<'_, BTreeMap<UnitId, Stand>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what a pass has to tell.
    pub fn note(&self, unit: &UnitId, news: &News<'_>) {
        let mut units = self.units();
        match news {
            News::Refused(refusals) => {
                let stand = units.entry(unit.clone()).or_default();
                let counted = count(refusals);
                self.recount(&std::mem::replace(&mut stand.refusals, counted.clone()), &counted);
            }
            News::Passed(outcome) => self.stands(units.entry(unit.clone()).or_default(), Some(word(&outcome.state))),
            // Traffic is as it should be: only what nobody needs any more is there still.
            News::Failed { class: "busy", .. } => {}
            News::Failed { .. } => self.stands(units.entry(unit.clone()).or_default(), Some("error")),
            News::Removed => {
                if let Some(mut stand) = units.remove(unit) {
                    self.stands(&mut stand, None);
                    self.recount(&stand.refusals, &BTreeMap::new());
                }
            }
            News::Drifted | News::Unready { .. } | News::Rejected { .. } => {}
        }
    }

    fn stands(&self, stand: &mut Stand, state: Option<&'static str>) {
        let before = std::mem::replace(&mut stand.state, state);
        if before == state {
            return;
        }
        if let Some(state) = before {
            self.states.get_or_create(&StateLabel { state }).dec();
        }
        if let Some(state) = state {
            self.states.get_or_create(&StateLabel { state }).inc();
        }
    }

    fn recount(&self, before: &BTreeMap<&'static str, i64>, now: &BTreeMap<&'static str, i64>) {
        for (cause, number) in before {
            self.refusals.get_or_create(&CauseLabel { cause }).dec_by(*number);
        }
        for (cause, number) in now {
            self.refusals.get_or_create(&CauseLabel { cause }).inc_by(*number);
        }
    }
}

fn word(state: &LoadBalancerState) -> &'static str {
    match state {
        LoadBalancerState::Absent => "absent",
        LoadBalancerState::Provisioning { .. } => "provisioning",
        LoadBalancerState::Unknown { .. } => "unknown",
        LoadBalancerState::Active => "active",
        LoadBalancerState::Failed(_) => "failed",
    }
}

fn count(refusals: &[Refusal]) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for refusal in refusals {
        let cause = match refusal.cause {
            RefusalCause::Unsupported { .. } => "unsupported",
            RefusalCause::Quota { .. } => "quota",
            RefusalCause::Invalid { .. } => "invalid",
        };
        *counts.entry(cause).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::NamespacedName;
    use portico_providers::{Outcome, Residue, Subject};

    #[test]
    fn gauges_follow_the_news() {
        let standing = Standing::default();
        let key = NamespacedName::new("a", "g");
        let unit = UnitId::Gateway(key.clone());
        let active = Outcome { state: LoadBalancerState::Active, addresses: Vec::new() };
        let cause = RefusalCause::Unsupported { detail: "no".into() };
        let refusal =
            Refusal { subject: Subject::Gateway(key), field: "f".into(), cause, residue: Residue::NoTraffic, remedy: String::new() };
        let look = || {
            let state = |state| standing.states.get_or_create(&StateLabel { state }).get();
            (state("active"), state("error"), standing.refusals.get_or_create(&CauseLabel { cause: "unsupported" }).get())
        };
        standing.note(&unit, &News::Refused(&[refusal.clone(), refusal.clone()]));
        standing.note(&unit, &News::Passed(&active));
        assert_eq!(look(), (1, 0, 2));
        standing.note(&unit, &News::Refused(&[refusal]));
        standing.note(&unit, &News::Failed { error: "x", class: "denied", again: true });
        assert_eq!(look(), (0, 1, 1));
        standing.note(&unit, &News::Passed(&active));
        standing.note(&unit, &News::Failed { error: "x", class: "busy", again: true });
        assert_eq!(look(), (1, 0, 1));
        standing.note(&unit, &News::Removed);
        assert_eq!(look(), (0, 0, 0));
    }
}
