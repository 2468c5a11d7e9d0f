//! What was expected and what came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use http::HeaderMap;

use super::answer::{Answer, Forward, Location, Share};
use super::api::{Cluster, Gateway, Kind};
use super::attachment;
use super::call;
use super::evaluator::{RuleName, Verdict, evaluate};
use super::generator::IDLE;
use super::reading::Reading;
use super::request::Request;
use super::timeout::Limit;
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
        if self.verdicts.iter().filter(refused).any(|_| received.plain(request, 500)) {
            return Some(Outcome::Refused);
        }
        let fits = |verdict: &&Verdict| received.fits(request, verdict);
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

impl Expected {
    /// Why these are not those who should have got a request that was answered as expected; nothing where one of the verdicts explains it.
    pub fn misled(&self, request: &Request, received: &Received, got: &BTreeSet<String>) -> Option<String> {
        let mut why = None;
        for verdict in &self.verdicts {
            let refused = verdict.winner.as_ref().is_some_and(|winner| self.refused.contains(winner));
            if !refused && !received.fits(request, verdict) {
                continue;
            }
            why = Some(received.misled(request, verdict, got).filter(|_| !(refused && got.is_empty()))?);
        }
        why
    }
}

/// How many hostnames a rule has on a Gateway at most: those of its route times those of the listeners.
fn hostnames(cluster: &Cluster, gateway: &Gateway, rule: &RuleName) -> usize {
    let route = cluster.routes.iter().find(|route| route.kind == rule.kind && route.metadata.key() == rule.route);
    let listeners = attachment::listeners(cluster, gateway);
    let listeners: BTreeSet<_> = listeners.iter().map(|place| &place.listener.hostname).collect();
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
    /// The status of a call, if nobody else answered it.
    pub call_status: Option<u16>,
}

/// gRPC's UNIMPLEMENTED: there is no such method.
const UNIMPLEMENTED: u16 = 12;
/// gRPC's UNAVAILABLE: it may be tried again.
const UNAVAILABLE: u16 = 14;

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
        let call_status = all.get("grpc-status").and_then(|text| text.parse().ok());
        Self { status, location, headers: all, echo: echo(&Reply { status, body }), call_status }
    }

    /// Whether the load balancer itself answered with that status. To a call it says so in the words of gRPC, which has none for 500.
    fn plain(&self, request: &Request, status: u16) -> bool {
        let said = match (self.call_status, status) {
            (None, _) => self.status == status,
            (Some(said), 404) => said == UNIMPLEMENTED,
            (Some(said), 503 | 504) => said == UNAVAILABLE,
            (Some(said), _) => said != 0 && said != UNIMPLEMENTED,
        };
        self.echo.is_none() && said && (self.call_status.is_none() || call::is_one(request))
    }

    /// Whether the load balancer itself answered what must fail. Gateway API: 500, and UNAVAILABLE for a GRPCRoute.
    fn failed(&self, request: &Request, verdict: &Verdict) -> bool {
        let grpc = verdict.winner.as_ref().is_some_and(|winner| winner.kind == Kind::Grpc);
        self.plain(request, if grpc { 503 } else { 500 })
    }

    fn fits(&self, request: &Request, verdict: &Verdict) -> bool {
        match &verdict.answer {
            Answer::NotFound => self.plain(request, 404),
            Answer::Error(_) => self.failed(request, verdict),
            Answer::Redirect { status, location } => self.redirected(request, *status, location),
            Answer::Unjudged(_) => false,
            Answer::Forward(forward) => {
                // The answer to HEAD has no body that would tell more.
                let hidden = request.method == "HEAD" && self.status == 200 && self.echo.is_none() && !forward.shares.is_empty();
                hidden && forward.limit != Limit::Missed
                    || forward.shares.iter().any(|share| self.is_of(request, forward, share))
                    || forward.redirects.iter().any(|(status, location)| self.redirected(request, *status, location))
                    // A Service without endpoints SHOULD be answered 503; an ALB answers the share of an invalid backend so, too (docs/benchmark.md).
                    || self.plain(request, 503) && (forward.failing || forward.backends().contains(IDLE))
                    || self.plain(request, 504) && forward.limit != Limit::Kept && !forward.shares.is_empty()
                    || self.failed(request, verdict) && forward.failing
            }
        }
    }

    /// To a call, a redirect is a failure that says where to.
    fn redirected(&self, request: &Request, status: u16, location: &Location) -> bool {
        let as_call = self.call_status.is_some_and(|status| status != 0) && call::is_one(request);
        (self.status == status || as_call) && self.location.as_deref().and_then(Location::parse).as_ref() == Some(location)
    }

    /// Whether a backend's share of the requests is answered so.
    fn is_of(&self, request: &Request, forward: &Forward, share: &Share) -> bool {
        let shared = share.sharing.as_ref().is_none_or(|sharing| sharing.fits(self.status, &self.headers));
        match &self.echo {
            None => share.sharing.as_ref().is_some_and(|sharing| sharing.is_preflight()) && shared,
            Some(echo) => {
                forward.limit != Limit::Missed
                    && shared
                    && !share.sharing.as_ref().is_some_and(|sharing| sharing.is_preflight())
                    && echo.method == request.method
                    && share.backend == echo.backend
                    && share.host == echo.host
                    && share.target == echo.target
                    && share.request.fit(&echo.headers)
                    && share.response.fit(&self.headers)
            }
        }
    }

    /// Why these are not those who should have got the request: who answers, and who gets copies. Nothing where they are, or where nobody can say.
    pub fn misled(&self, request: &Request, verdict: &Verdict, got: &BTreeSet<String>) -> Option<String> {
        let none = || (!got.is_empty()).then(|| format!("{got:?} got it, and nobody should"));
        let Answer::Forward(forward) = &verdict.answer else { return none() };
        if self.location.is_some() {
            return none();
        }
        let late = forward.limit != Limit::Kept && self.plain(request, 504);
        let answered = self.echo.is_some() || request.method == "HEAD" && self.status == 200 || late;
        let fits = |share: &&Share| !answered || self.echo.is_none() || self.is_of(request, forward, share);
        let right = |share: &Share| {
            let preflight = share.sharing.as_ref().is_some_and(|sharing| sharing.is_preflight());
            let copies = || share.copies.iter().filter(|(to, _)| to != IDLE);
            let may: BTreeSet<&String> =
                copies().map(|(to, _)| to).chain((answered && share.backend != IDLE).then_some(&share.backend)).collect();
            let must = copies().filter(|(_, all)| *all && answered).map(|(to, _)| to).chain(answered.then_some(&share.backend));
            match preflight && !answered {
                true => got.is_empty(),
                false => got.iter().all(|it| may.contains(it)) && must.filter(|to| *to != IDLE).all(|it| got.contains(it)),
            }
        };
        let fine = forward.shares.iter().filter(fits).any(right) || got.is_empty() && !answered;
        (!fine).then(|| format!("{got:?} got it"))
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
            (None, None) => write!(f, "{} with the headers {:?}", self.status, self.headers),
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
        let name = |rule: &usize| RuleName { kind: Kind::Http, route: "app/r".into(), rule: *rule, index: 0 };
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
