//! Rules: one match of one route's rule on one hostname becomes one rule, rarely two. Compaction joins them afterwards.

use super::Compiler;
use super::condition::{self, PathShare};
use super::issue::Issue;
use crate::stack::{Condition, Rule, RuleAction, Transform};
use portico_providers::{Hostname, PlanListener, PlanRule, Residue, ResourceId, RuleMatch, Source, Subject};

impl Compiler<'_> {
    /// Appends what serves a rule. A rule that cannot be honoured is answered 500; one whose match cannot be expressed is left out.
    pub(super) fn rule(&mut self, port: u16, listener: &PlanListener, rule: &PlanRule, rules: &mut Vec<Rule>) {
        let hostname = rule.hostname.as_ref().or(listener.hostname.as_ref());
        let field = format!("spec.rules[{}].matches[{}]", rule.id.rule, rule.id.match_index);
        let conditions = |share| condition::compile(hostname, &rule.matches, share, &field);
        let unsupported_kind = match rule.matches {
            RuleMatch::Http(_) => None,
            RuleMatch::Grpc(_) => {
                let detail = "Portico's ALBs do not serve GRPCRoutes yet.";
                Some(Issue::unsupported("spec.parentRefs", detail, "Use an HTTPRoute, or another load balancer for gRPC."))
            }
            RuleMatch::Connection => Some(Issue::unsupported(
                "spec.parentRefs",
                "An ALB serves HTTP only.",
                "Attach the route to a listener of another load balancer.",
            )),
        };
        let whole = conditions(PathShare::Whole);
        let action = match unsupported_kind {
            Some(issue) => Err(vec![issue]),
            None => self.action(rule, hostname, port),
        };
        let shares = match (&whole, action) {
            (Ok(_), Ok(shares)) => shares
                .into_iter()
                .map(|share| conditions(share.paths).map(|conditions| (share.paths, conditions, share.transforms, share.action)))
                .collect::<Result<Vec<_>, _>>(),
            (Ok(_), Err(issues)) => Err(issues),
            (Err(unmatched), action) => {
                let issues = unmatched.iter().cloned().chain(action.err().unwrap_or_default());
                self.refuse_rule(rule, issues, Residue::FallsThrough);
                return;
            }
        };
        match (shares, whole) {
            (Ok(shares), _) => {
                for (paths, conditions, transforms, action) in shares {
                    rules.push(rule_of(port, rule, hostname, paths, conditions, transforms, action));
                }
            }
            (Err(issues), Ok(conditions)) => {
                self.refuse_rule(rule, issues, Residue::Answer500);
                rules.push(rule_of(port, rule, hostname, PathShare::Whole, conditions, Vec::new(), RuleAction::status(500)));
            }
            (Err(issues), Err(_)) => self.refuse_rule(rule, issues, Residue::FallsThrough),
        }
    }

    fn refuse_rule(&mut self, rule: &PlanRule, issues: impl IntoIterator<Item = Issue>, residue: Residue) {
        self.refusals.extend(issues.into_iter().map(|issue| issue.refuse(Subject::Rule(rule.id.clone()), residue)));
    }
}

/// Whether a rule is one of several that one match on one hostname needs.
pub(super) fn is_part(rule: &Rule) -> bool {
    let id = rule.id.0.split_once('@').map_or(rule.id.0.as_str(), |(id, _)| id);
    [PathShare::Prefix, PathShare::Below].into_iter().any(|share| id.ends_with(part(share)) && id.matches('/').count() > WHOLE_ID_SLASHES)
}

/// Slashes in the id of a rule that is all that its match needs: `rule/PORT/KIND/NAMESPACE/NAME/RULE/MATCH`.
const WHOLE_ID_SLASHES: usize = 6;

fn part(share: PathShare) -> &'static str {
    match share {
        PathShare::Whole => "",
        PathShare::Prefix => "/prefix",
        PathShare::Below => "/below",
    }
}

fn rule_of(
    port: u16,
    rule: &PlanRule,
    hostname: Option<&Hostname>,
    paths: PathShare,
    conditions: Vec<Condition>,
    transforms: Vec<Transform>,
    action: RuleAction,
) -> Rule {
    let part = part(paths);
    let at = hostname.map(|name| format!("@{name}")).unwrap_or_default();
    let route = &rule.id.route;
    let id = format!("rule/{port}/{}/{}/{}/{}{part}{at}", route.kind.as_str(), route.key, rule.id.rule, rule.id.match_index);
    Rule { id: ResourceId(id), rank: 0, conditions, transforms, action, sources: vec![Source::Rule(rule.id.clone())] }
}
