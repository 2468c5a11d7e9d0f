//! Filters of a rule or a backend, gathered into what Envoy's routes say.

use super::Compiler;
use super::header::Headers;
use super::issue::Issue;
use super::{authorization, cors, redirect, rewrite};
use crate::stack::TypedConfig;
use crate::stack::core::{DenominatorType, FractionalPercent, RuntimeFractionalPercent};
use crate::stack::http::CorsPolicy;
use crate::stack::route::{HeaderMatcher, RedirectAction, RequestMirrorPolicy, RouteAction};
use portico_providers::{Backend, Filter, PlanRule, RequestMirror};
use std::collections::BTreeMap;

use super::route::Place;

/// What the filters of a rule, and then those of a backend, ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    pub request: Headers,
    pub response: Headers,
    pub mirrors: Vec<RequestMirrorPolicy>,
    /// Redirects, each with what its requests must look like besides.
    pub redirects: Vec<(Vec<HeaderMatcher>, RedirectAction)>,
    /// Rewrites of host and path.
    pub rewrite: RouteAction,
    pub cors: Option<CorsPolicy>,
    /// Configurations of HTTP filters for the route, by name.
    pub per_filter: BTreeMap<String, TypedConfig>,
    /// Whether nobody can be asked for permission, so that nobody gets it.
    pub denied: bool,
}

impl Compiler<'_> {
    /// Gathers filters after those that were gathered before. `at` is the path of what holds them: `spec.rules[0]`.
    pub(super) fn gather(
        &mut self,
        rule: &PlanRule,
        place: &Place<'_>,
        filters: &[Filter],
        at: &str,
        gathered: &mut Gathered,
    ) -> Result<(), Issue> {
        for (index, filter) in filters.iter().enumerate() {
            let field = format!("{at}.filters[{index}]");
            match filter {
                Filter::RequestHeaderModifier(modifier) => {
                    gathered.request.follow(modifier, &format!("{field}.requestHeaderModifier"))?;
                }
                Filter::ResponseHeaderModifier(modifier) => {
                    gathered.response.follow(modifier, &format!("{field}.responseHeaderModifier"))?;
                }
                Filter::RequestMirror(mirror) => gathered.mirrors.extend(self.mirror(mirror)),
                Filter::RequestRedirect(filter) => {
                    gathered.redirects = redirect::compile(filter, &rule.matches, place, &format!("{field}.requestRedirect"))?;
                }
                Filter::UrlRewrite(filter) => {
                    rewrite::apply(filter, &rule.matches, &mut gathered.rewrite, &format!("{field}.urlRewrite"))?;
                }
                Filter::Cors(filter) => gathered.cors = Some(cors::policy(filter)),
                Filter::ExternalAuth(filter) => match self.authorization(filter, authorization::Scope::Route, place) {
                    Some((name, config)) => drop(gathered.per_filter.insert(name, config)),
                    None => gathered.denied = true,
                },
                Filter::ExtensionRef(reference) => {
                    let detail = format!("Portico knows no {}.{} as a filter for Envoy", reference.kind, reference.group);
                    return Err(Issue::unsupported(format!("{field}.extensionRef"), detail, "Remove the filter."));
                }
                Filter::Unknown { kind, message } => {
                    let detail = format!("the filter {kind:?} cannot be read: {message}");
                    return Err(Issue::invalid(field, detail, "Correct the filter, or remove it."));
                }
            }
        }
        Ok(())
    }

    /// Where copies go; nowhere for a reference that leads nowhere, which the route's status says.
    fn mirror(&mut self, mirror: &RequestMirror) -> Option<RequestMirrorPolicy> {
        let Backend::Service(service) = &mirror.backend else { return None };
        let (numerator, denominator) = mirror.fraction;
        let share = (numerator < denominator).then(|| millionths(u64::from(numerator), u64::from(denominator)));
        Some(RequestMirrorPolicy { cluster: self.cluster(service), runtime_fraction: share, disable_shadow_host_suffix_append: true })
    }
}

/// A share of requests, in the finest unit that Envoy has.
pub(super) fn millionths(part: u64, whole: u64) -> RuntimeFractionalPercent {
    let numerator = (part * 1_000_000 + whole / 2).checked_div(whole).unwrap_or_default().min(1_000_000);
    RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: u32::try_from(numerator).unwrap_or(1_000_000),
            denominator: DenominatorType::Million.into(),
        }),
        ..RuntimeFractionalPercent::default()
    }
}
