//! Actions that ask who a client is, as the data plane's configuration.

use crate::dataplane::config as plane;
use crate::elb::authentication::{Authentication, Session};

/// What an action asks for.
pub(super) fn demand(authentication: &Authentication) -> plane::Demand {
    let sign_in = |endpoint: String, client_id: &String, session: &Session| {
        plane::Demand::SignIn(plane::SignIn {
            authorization_endpoint: endpoint,
            client_id: client_id.clone(),
            scope: session.scope.clone(),
            extra: session.extra.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            unauthenticated: match session.unauthenticated.as_str() {
                "deny" => plane::Unauthenticated::Deny,
                "allow" => plane::Unauthenticated::Allow,
                _ => plane::Unauthenticated::SignIn,
            },
        })
    };
    match authentication {
        Authentication::Oidc(oidc) => sign_in(oidc.authorization_endpoint.clone(), &oidc.client_id, &oidc.session),
        Authentication::Cognito(cognito) => {
            let region = cognito.user_pool_arn.split(':').nth(3).unwrap_or_default();
            let domain = &cognito.user_pool_domain;
            let host = if domain.contains('.') { domain.clone() } else { format!("{domain}.auth.{region}.amazoncognito.com") };
            sign_in(format!("https://{host}/oauth2/authorize"), &cognito.user_pool_client_id, &cognito.session)
        }
        Authentication::Jwt(jwt) => plane::Demand::Token(plane::Token {
            keys: jwt.jwks_endpoint.clone(),
            issuer: jwt.issuer.clone(),
            claims: jwt
                .claims
                .iter()
                .map(|claim| plane::Claim {
                    name: claim.name.clone(),
                    format: match claim.format.as_str() {
                        "string-array" => plane::ClaimFormat::Array,
                        "space-separated-values" => plane::ClaimFormat::SpaceSeparated,
                        _ => plane::ClaimFormat::Single,
                    },
                    values: claim.values.clone(),
                })
                .collect(),
        }),
    }
}
