//! What a plan says of a request, by the words of the Gateway API.

use super::request::{Answer, Request, found, shares};
use portico_providers::{
    Backend, Filter, Hostname, HttpMatch, PathMatch, PathModifier, Plan, PlanRule, Refusal, Residue, RuleMatch, StringMatch, Subject,
};

/// The answer of the first rule that matches in the listener that the request belongs to.
pub fn answer(plan: &Plan, refusals: &[Refusal], request: &Request) -> Answer {
    let host = request.host.split(':').next().unwrap().to_lowercase();
    let port = &plan.ports[0];
    let Some(listener) = port.listeners.iter().find(|listener| covers(listener.hostname.as_ref(), &host)) else {
        return Answer::Status(404);
    };
    for rule in &listener.rules {
        let RuleMatch::Http(http) = &rule.matches else { panic!() };
        if !covers(rule.hostname.as_ref(), &host) || !matches(http, request) {
            continue;
        }
        let refused: Vec<_> = refusals.iter().filter(|refusal| refusal.subject == Subject::Rule(rule.id.clone())).collect();
        if refused.iter().any(|refusal| refusal.residue == Residue::FallsThrough) {
            continue;
        }
        return if refused.is_empty() { served(rule, http, request, &host) } else { Answer::Status(500) };
    }
    Answer::Status(404)
}

fn covers(hostname: Option<&Hostname>, host: &str) -> bool {
    let Some(hostname) = hostname else { return true };
    match hostname.as_str().strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        None => hostname.as_str() == host,
    }
}

/// Elements of a path; a trailing slash makes no element.
fn elements(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap().strip_suffix('/').unwrap_or(&path[1..]).split('/').filter(|_| path != "/").collect()
}

fn matches(http: &HttpMatch, request: &Request) -> bool {
    let path = match &http.path {
        PathMatch::Exact(path) => request.path == *path,
        PathMatch::Prefix(prefix) => elements(&request.path).starts_with(&elements(prefix)),
        PathMatch::RegularExpression(expression) => whole(expression, &request.path),
    };
    let text = |wanted: &StringMatch, found: &str| match wanted {
        StringMatch::Exact(value) => value == found,
        StringMatch::RegularExpression(expression) => whole(expression, found),
    };
    let headers =
        http.headers.iter().all(|wanted| request.headers.iter().any(|(name, value)| *name == wanted.name && text(&wanted.value, value)));
    let parameters: Vec<_> = request.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let query =
        http.query_params.iter().all(|wanted| parameters.iter().any(|(name, value)| *name == wanted.name && text(&wanted.value, value)));
    path && headers && query && http.method.as_ref().is_none_or(|method| *method == request.method)
}

fn whole(expression: &str, text: &str) -> bool {
    found(&format!("^(?:{expression})$"), false, text)
}

fn served(rule: &PlanRule, http: &HttpMatch, request: &Request, host: &str) -> Answer {
    let of_backend = rule.backends.iter().flat_map(|backend| &backend.filters);
    let mut answer = (request.host.clone(), request.path.clone());
    for filter in rule.filters.iter().chain(of_backend) {
        match filter {
            Filter::RequestRedirect(redirect) => {
                let scheme = redirect.scheme.clone().unwrap_or_else(|| "http".into());
                let port = redirect.port.unwrap_or(match redirect.scheme.as_deref() {
                    Some("https") => 443,
                    _ => 80,
                });
                let host = redirect.hostname.clone().unwrap_or_else(|| host.to_owned());
                let path = redirect.path.as_ref().map_or_else(|| request.path.clone(), |to| replace(to, http, &request.path));
                return Answer::Redirect(redirect.status_code, scheme, host, port, path, request.query.clone());
            }
            Filter::UrlRewrite(rewrite) => {
                answer.0 = rewrite.hostname.clone().unwrap_or(answer.0);
                answer.1 = rewrite.path.as_ref().map_or(answer.1, |to| replace(to, http, &request.path));
            }
            other => panic!("{other:?} is served?"),
        }
    }
    let valid = |backend: &Backend| matches!(backend, Backend::Service(_));
    if !rule.backends.iter().any(|backend| backend.weight > 0 && valid(&backend.backend)) {
        return Answer::Status(500);
    }
    let shares = shares(rule.backends.iter().map(|backend| {
        let name = match &backend.backend {
            Backend::Service(service) => format!("{}:{}", service.service, service.port),
            _ => "invalid".into(),
        };
        (name, u64::from(backend.weight))
    }));
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    Answer::Forward { shares, host: answer.0, url: format!("{}{query}", answer.1) }
}

fn replace(modifier: &PathModifier, http: &HttpMatch, path: &str) -> String {
    match modifier {
        PathModifier::ReplaceFullPath(to) => to.clone(),
        PathModifier::ReplacePrefixMatch(to) => {
            let PathMatch::Prefix(prefix) = &http.path else { panic!("served without a prefix") };
            let rest = path.strip_prefix(prefix.trim_end_matches('/')).unwrap();
            match (to.as_str(), rest) {
                ("" | "/", "") => "/".to_owned(),
                (to, "") => to.to_owned(),
                // A slash alone is not doubled: `/foo/` with `/foo` replaced by `/xyz/` is `/xyz/`.
                (to, rest) => format!("{}{rest}", to.trim_end_matches('/')),
            }
        }
    }
}
