//! What was expected and what came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::HeaderMap;

use super::answer::{Answer, Location, Share};
use super::api::{Cluster, Gateway};
use super::evaluator::{RuleName, Verdict, evaluate};
use super::generator::IDLE;
use super::reading::Reading;
use super::request::Request;
use crate::e2e::bench::Reply;

/// What the operator says that a Gateway's load balancer cannot serve.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// Rules whose requests are answered 500.
    pub answered: BTreeSet<RuleName>,
    /// Rules whose requests fall through to whatever matches next.
    pub fallen: BTreeSet<RuleName>,
    /// The paths of the fields that they are refused for.
    pub fields: BTreeSet<(RuleName, String)>,
}

/// What may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The verdict of each reading that differs from the others.
    pub verdicts: Vec<Verdict>,
    /// Those of them whose rule is refused.
    pub refused: BTreeSet<RuleName>,
    /// Whether a refused rule would have won, but fell through.
    pub fallen: bool,
}

impl Expected {
    /// What the Gateway API means, and what the operator refuses of it.
    pub fn of(cluster: &Cluster, gateway: &Gateway, refusals: &Refusals, request: &Request) -> Self {
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut fallen = false;
        for reading in Reading::all() {
            let verdict = evaluate(cluster, gateway, request, reading, &refusals.fallen);
            let meant = evaluate(cluster, gateway, request, reading, &BTreeSet::new());
            let falls = meant != verdict;
            fallen |= falls;
            // A rule may be refused on one of its hostnames only, and serve on others.
            let partly = falls && meant.winner.as_ref().is_some_and(|winner| hostnames(cluster, gateway, winner) > 1);
            for verdict in std::iter::once(verdict).chain(partly.then_some(meant)) {
                if !verdicts.contains(&verdict) {
                    verdicts.push(verdict);
                }
            }
        }
        let refused = verdicts.iter().filter_map(|it| it.winner.clone()).filter(|it| refusals.answered.contains(it)).collect();
        Self { verdicts, refused, fallen }
    }

    /// Whether that came, and as what it counts.
    pub fn judge(&self, request: &Request, received: &Received) -> Option<Outcome> {
        let refused = |verdict: &&Verdict| verdict.winner.as_ref().is_some_and(|winner| self.refused.contains(winner));
        if self.verdicts.iter().filter(refused).any(|_| received.plain(500)) {
            return Some(Outcome::Refused);
        }
        let fits = |verdict: &&Verdict| received.fits(request, &verdict.answer);
        // A rule may be refused on one of its hostnames only.
        self.verdicts.iter().find(fits).map(|verdict| match (self.fallen, self.verdicts.len(), &verdict.answer) {
            (true, ..) => Outcome::Fallen,
            (false, 2.., _) => Outcome::Open,
            (false, _, Answer::Forward(_)) => Outcome::Forwarded,
            (false, _, Answer::Redirect { .. }) => Outcome::Redirected,
            (false, _, Answer::NotFound) => Outcome::NotFound,
            (false, _, Answer::Error(_) | Answer::Unjudged(_)) => Outcome::Failed,
        })
    }
}

/// How many hostnames a rule has on a Gateway at most: those of its route times those of the listeners.
fn hostnames(cluster: &Cluster, gateway: &Gateway, rule: &RuleName) -> usize {
    let route = cluster.routes.iter().find(|route| route.metadata.key() == rule.route);
    let listeners: BTreeSet<_> = gateway.spec.listeners.iter().map(|listener| &listener.hostname).collect();
    route.map_or(1, |route| route.spec.hostnames.len().max(1) * listeners.len().max(1))
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, verdict) in self.verdicts.iter().enumerate() {
            let or = if at == 0 { "" } else { ", or else " };
            match &verdict.winner {
                Some(winner) if self.refused.contains(winner) => write!(f, "{or}500, since {winner} is refused")?,
                Some(winner) => write!(f, "{or}{} by {winner}", verdict.answer)?,
                None => write!(f, "{or}{}", verdict.answer)?,
            }
        }
        Ok(())
    }
}

/// As what an answer counts that is as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The right backend got the right request.
    Forwarded,
    /// The right redirect.
    Redirected,
    /// 404, rightly.
    NotFound,
    /// 500, rightly.
    Failed,
    /// It is one of those that the Gateway API leaves open.
    Open,
    /// Its rule is refused, and it is 500.
    Refused,
    /// Its rule is refused and falls through, and it is the next rule's.
    Fallen,
}

impl Outcome {
    /// What it is called in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Redirected => "redirected",
            Self::NotFound => "answered 404",
            Self::Failed => "answered 500",
            Self::Open => "one of the answers that the Gateway API leaves open",
            Self::Refused => "refused, answered 500",
            Self::Fallen => "refused, fell through as announced",
        }
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The status code.
    pub status: u16,
    /// The Location header.
    pub location: Option<String>,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What the backend got, if one answered.
    pub echo: Option<Echo>,
}

/// A request as a backend got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// `NAMESPACE/NAME` of its Deployment.
    pub backend: String,
    /// The method.
    pub method: String,
    /// The Host header.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Received {
    /// Takes an answer apart.
    pub fn of(status: u16, headers: &HeaderMap, body: String) -> Self {
        let location = headers.get(http::header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let known = all.entry(name.as_str().to_owned()).or_default();
            *known = if known.is_empty() { value.into_owned() } else { format!("{known}, {value}") };
        }
        Self { status, location, headers: all, echo: echo(&Reply { status, body }) }
    }

    /// Whether the load balancer itself answered with that status.
    fn plain(&self, status: u16) -> bool {
        self.status == status && self.echo.is_none()
    }

    fn fits(&self, request: &Request, answer: &Answer) -> bool {
        match answer {
            Answer::NotFound => self.plain(404),
            Answer::Error(_) => self.plain(500),
            Answer::Redirect { status, location } => {
                self.status == *status && self.location.as_deref().and_then(Location::parse).as_ref() == Some(location)
            }
            Answer::Unjudged(_) => false,
            Answer::Forward(forward) => match &self.echo {
                Some(echo) => {
                    let fits = |share: &Share| {
                        share.backend == echo.backend
                            && share.host == echo.host
                            && share.target == echo.target
                            && share.request.fit(&echo.headers)
                            && share.response.fit(&self.headers)
                    };
                    echo.method == request.method && forward.shares.iter().any(fits)
                }
                // The answer to HEAD has no body that would tell more.
                None if request.method == "HEAD" && self.status == 200 => true,
                // A Service without endpoints SHOULD be answered 503; an ALB answers the share of an invalid backend so, too (docs/benchmark.md).
                None => self.plain(503) && (forward.failing || forward.backends().contains(IDLE)) || self.plain(500) && forward.failing,
            },
        }
    }
}

fn echo(reply: &Reply) -> Option<Echo> {
    let body: serde_json::Value = serde_json::from_str(&reply.body).ok()?;
    let headers = body.get("headers")?.as_object()?;
    let joined = |value: &serde_json::Value| {
        let lines = value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        lines.collect::<Vec<_>>().join(", ")
    };
    Some(Echo {
        backend: format!("{}/{}", reply.echo("/namespace").ok()?, reply.backend().ok()?),
        method: reply.echo("/method").ok()?,
        host: reply.echo("/host").ok()?,
        target: reply.echo("/path").ok()?,
        headers: headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), joined(value))).collect(),
    })
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.echo, &self.location) {
            (Some(echo), _) => {
                let Echo { backend, method, host, target, headers } = echo;
                write!(
                    f,
                    "{} of {backend}: {method} {target} on host {host}, headers {headers:?}, answered with {:?}",
                    self.status, self.headers
                )
            }
            (None, Some(location)) => write!(f, "{} to {location}", self.status),
            (None, None) => write!(f, "{}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn objects(listeners: &Value, rules: &Value) -> Cluster {
        let service =
            |name: &str| json!({"kind": "Service", "metadata": {"name": name, "namespace": "app"}, "spec": {"ports": [{"port": 80}]}});
        Cluster::from_objects(&[
            json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "app"}, "spec": {"listeners": listeners}}),
            json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "app"}, "spec": {"parentRefs": [{"name": "edge"}], "rules": rules}}),
            service("one"),
            service("two"),
        ])
        .unwrap()
    }

    fn winners(listeners: &Value, rules: &Value, fallen: &[usize], request: &Request) -> Vec<Option<usize>> {
        let cluster = objects(listeners, rules);
        let gateway = cluster.gateways.first().unwrap();
        let name = |rule: &usize| RuleName { route: "app/r".into(), rule: *rule, index: 0 };
        let refusals = Refusals { fallen: fallen.iter().map(name).collect(), ..Refusals::default() };
        let expected = Expected::of(&cluster, gateway, &refusals, request);
        assert_eq!(expected.fallen, !fallen.is_empty());
        expected.verdicts.into_iter().map(|it| it.winner.map(|winner| winner.rule)).collect()
    }

    fn to(backend: &str, path: &Value, query: &Value) -> Value {
        json!({"matches": [{"path": path, "queryParams": query}], "backendRefs": [{"name": backend, "port": 80}]})
    }

    #[test]
    fn what_falls_through_for_one_hostname_may_be_served_for_another_and_for_no_other_if_there_is_none() {
        let prefix = |value: &str| json!({"type": "PathPrefix", "value": value});
        let rules = json!([to("one", &prefix("/a"), &json!([])), to("two", &prefix("/"), &json!([]))]);
        let alone = json!([{"name": "any", "port": 80, "protocol": "HTTP"}]);
        let both = json!([{"name": "any", "port": 80, "protocol": "HTTP"}, {"name": "org", "port": 80, "protocol": "HTTP", "hostname": "*.example.org"}]);
        assert_eq!(winners(&alone, &rules, &[0], &Request::get("/a")), [Some(1)]);
        assert_eq!(winners(&both, &rules, &[0], &Request::get("/a")), [Some(1), Some(0)]);
    }

    #[test]
    fn paths_may_be_read_decoded_and_queries_not() {
        let expression = |value: &str| json!({"type": "RegularExpression", "value": value});
        let rules =
            json!(
                [to("one", &expression("/[a-z]+"), &json!([])), to("two", &expression("/a.*"), &json!([{"name": "-", "value": "0.5"}])),]
            );
        let listeners = json!([{"name": "any", "port": 80, "protocol": "HTTP"}]);
        let request = Request { query: Some("-=%30.5".into()), ..Request::get("/%61") };
        assert_eq!(winners(&listeners, &rules, &[], &request), [None, Some(0), Some(1)]);
    }
}
