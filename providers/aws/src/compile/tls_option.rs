//! Settings of a port's TLS: the security policy, and options that are not known.

use super::Compiler;
use super::issue::Issue;
use super::listener::field;
use crate::ssl_policy;
use portico_crds::PORTICO_GROUP;
use portico_crds::tls_option::{self, SSL_POLICY};
use portico_providers::{PlanPort, Residue, Subject};

impl Compiler<'_> {
    /// The security policy of a port: an ALB has one for all listeners on it. What the Gateway's own listeners ask for comes first, then what those of ListenerSets do, by
    /// name; then comes the profile's. A policy that AWS does not have counts as not asked for.
    pub(super) fn ssl_policy(&mut self, port: &PlanPort) -> String {
        let mut asking: Vec<_> = port
            .listeners
            .iter()
            .filter_map(|listener| Some((listener, listener.tls.as_ref()?.options.get(SSL_POLICY)?.as_str())))
            .collect();
        asking.sort_by_key(|(listener, _)| &listener.owner);
        let account = self.account;
        let chosen = asking.iter().map(|(_, name)| *name).find(|name| account.has_ssl_policy(name));
        let policy = chosen.map_or_else(|| self.profile_policy(), str::to_owned);
        for (listener, name) in asking.into_iter().filter(|(_, name)| *name != policy) {
            let at = field(&listener.owner, &format!("tls.options[{SSL_POLICY}]"));
            let issue = if account.has_ssl_policy(name) {
                let detail =
                    format!("An ALB has one security policy for a port, and another listener asks for {policy} on port {}.", port.port);
                Issue::unsupported(at, detail, "Ask for the same policy, or use another port.")
            } else {
                Issue::invalid(at, no_policy(name, &policy), REMEDY)
            };
            self.refuse_field(listener, issue, Residue::Served);
        }
        policy
    }

    /// The policy that the profile names.
    fn profile_policy(&mut self) -> String {
        let name = self.settings.ssl_policy.as_deref().unwrap_or(ssl_policy::DEFAULT);
        if self.account.has_ssl_policy(name) {
            return name.to_owned();
        }
        for gateway in &self.plan.gateways {
            let issue = Issue::invalid("spec.aws.tls.sslPolicy of the LoadBalancerProfile", no_policy(name, ssl_policy::DEFAULT), REMEDY);
            self.refusals.insert(issue.refuse(Subject::Gateway(gateway.key.clone()), Residue::Served));
        }
        ssl_policy::DEFAULT.to_owned()
    }

    /// Says which options have no effect.
    pub(super) fn refuse_unknown_options(&mut self, port: &PlanPort) {
        for listener in &port.listeners {
            for key in listener.tls.iter().flat_map(|tls| tls_option::unknown(&tls.options)) {
                let at = field(&listener.owner, &format!("tls.options[{key}]"));
                let known = tls_option::listed();
                let issue = if key.split('/').next() == Some(PORTICO_GROUP) {
                    Issue::invalid(at, "Portico has no such option.", format!("Its options are {known}."))
                } else {
                    let detail = "The option belongs to another implementation of the Gateway API, and has no effect.";
                    Issue::unsupported(at, detail, format!("Remove it; Portico's own are {known}."))
                };
                self.refuse_field(listener, issue, Residue::Served);
            }
        }
    }
}

const REMEDY: &str = "`aws elbv2 describe-ssl-policies --load-balancer-type application` lists those that there are.";

fn no_policy(name: &str, instead: &str) -> String {
    format!("AWS has no security policy {name} for application load balancers; {instead} is served.")
}
