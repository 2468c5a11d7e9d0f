//! Actions that ask who a client is, before another action serves it: `authenticate-oidc`, `authenticate-cognito`, `jwt-validation`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validation;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// `authenticate-oidc`.
    Oidc(Oidc),
    /// `authenticate-cognito`.
    Cognito(Cognito),
    /// `jwt-validation`.
    Jwt(JwtValidation),
}

/// `AuthenticateOidcConfig`. The client's secret is neither shown nor kept, only that there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oidc {
    /// The identity provider.
    pub issuer: String,
    /// Where users sign in.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where claims about users are.
    pub user_info_endpoint: String,
    /// The load balancer's name at the provider.
    pub client_id: String,
    /// The secret was not given: that of the action which this one replaces stays.
    pub existing_secret: bool,
    /// What both kinds of sign-in have.
    pub session: Session,
}

/// `AuthenticateCognitoConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cognito {
    /// The user pool.
    pub user_pool_arn: String,
    /// The load balancer's name in the pool.
    pub user_pool_client_id: String,
    /// The prefix of the pool's domain, or a domain.
    pub user_pool_domain: String,
    /// What both kinds of sign-in have.
    pub session: Session,
}

/// What both kinds of sign-in have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The cookie that holds the session.
    pub cookie: String,
    /// The claims that are asked for.
    pub scope: String,
    /// For how long a session lasts, in seconds.
    pub timeout: i64,
    /// Further parameters of the redirect to the sign-in (AWS: at most 10).
    pub extra: BTreeMap<String, String>,
    /// `deny`, `allow` or `authenticate`.
    pub unauthenticated: String,
}

/// `JwtValidationConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtValidation {
    /// Where the keys are.
    pub jwks_endpoint: String,
    /// Who must have issued the token.
    pub issuer: String,
    /// What else must be in it.
    pub claims: Vec<Claim>,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// `single-string`, `string-array` or `space-separated-values`.
    pub format: String,
    /// Its name.
    pub name: String,
    /// The values of which it must have one.
    pub values: Vec<String>,
}

fn url(config: &Input, name: &str, limit: usize) -> Answer<String> {
    let text = config.required(name)?;
    let domain = text.strip_prefix("https://").map(|rest| rest.split(['/', '?', ':']).next().unwrap_or_default());
    let valid = domain.is_some_and(|domain| !domain.is_empty()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if !valid {
        return Err(ApiError::validation(format!("'{name}' must be a full URL with the HTTPS protocol, a domain and a path: '{text}'")));
    }
    within_length(name, text, limit)?;
    Ok(text.to_string())
}

fn within_length(name: &str, text: &str, limit: usize) -> Answer<()> {
    if text.chars().count() > limit {
        return Err(ApiError::validation(format!("'{name}' cannot be longer than '{limit}' characters")));
    }
    Ok(())
}

/// AWS documents no limit of most texts of sign-ins; this is far beyond any.
const TEXT_LIMIT: usize = 2048;

impl Session {
    fn read(config: &Input) -> Answer<Self> {
        let text = |name: &str, default: &str| config.text(name).filter(|text| !text.is_empty()).unwrap_or(default).to_string();
        let unauthenticated = text("OnUnauthenticatedRequest", "authenticate");
        validation::one_of(&unauthenticated, "onUnauthenticatedRequest", &["deny", "allow", "authenticate"])?;
        // AWS: seven days unless told otherwise, and at most.
        let timeout: i64 = config.parse("SessionTimeout")?.unwrap_or(604_800);
        validation::within(timeout, "sessionTimeout", 1, 604_800)?;
        let extra = read_map(config, "AuthenticationRequestExtraParams");
        if extra.len() > 10 {
            return Err(ApiError::validation("You cannot specify more than '10' 'AuthenticationRequestExtraParams'"));
        }
        let cookie = text("SessionCookieName", "AWSELBAuthSessionCookie");
        if !cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
            return Err(ApiError::validation(format!("'{cookie}' is not a valid 'SessionCookieName'")));
        }
        Ok(Self { cookie, scope: text("Scope", "openid"), timeout, extra, unauthenticated })
    }

    fn add_to(&self, record: Record) -> Record {
        let mut extra = Record::new();
        for (key, value) in &self.extra {
            extra = extra.with("entry", Record::new().with("key", key).with("value", value));
        }
        record
            .with("SessionCookieName", &self.cookie)
            .with("Scope", &self.scope)
            .with("SessionTimeout", self.timeout)
            .maybe("AuthenticationRequestExtraParams", Some(extra).filter(|extra| !extra.members.is_empty()))
            .with("OnUnauthenticatedRequest", &self.unauthenticated)
    }
}

/// A map in the query protocol: `Name.entry.1.key=…&Name.entry.1.value=…`.
fn read_map(config: &Input, name: &str) -> BTreeMap<String, String> {
    let entries = config.child(name).map(|map| map.items("entry")).unwrap_or_default();
    let pair = |entry: &Input| (entry.text("key").unwrap_or_default().to_string(), entry.text("value").unwrap_or_default().to_string());
    entries.into_iter().map(pair).collect()
}

impl Authentication {
    /// Reads the configuration of an action of this type.
    pub fn read(kind: &str, config: &Input) -> Answer<Self> {
        match kind {
            "authenticate-oidc" => oidc(config).map(Self::Oidc),
            "authenticate-cognito" => cognito(config).map(Self::Cognito),
            _ => jwt(config).map(Self::Jwt),
        }
    }

    /// Whether it takes over the secret of the action that it replaces.
    pub fn wants_existing_secret(&self) -> bool {
        matches!(self, Self::Oidc(oidc) if oidc.existing_secret)
    }

    /// The type of the action, the name of its configuration, and the configuration as describing calls show it.
    pub fn record(&self) -> (&'static str, &'static str, Record) {
        match self {
            Self::Oidc(oidc) => {
                let record = Record::new()
                    .with("Issuer", &oidc.issuer)
                    .with("AuthorizationEndpoint", &oidc.authorization_endpoint)
                    .with("TokenEndpoint", &oidc.token_endpoint)
                    .with("UserInfoEndpoint", &oidc.user_info_endpoint)
                    .with("ClientId", &oidc.client_id);
                ("authenticate-oidc", "AuthenticateOidcConfig", oidc.session.add_to(record))
            }
            Self::Cognito(cognito) => {
                let record = Record::new()
                    .with("UserPoolArn", &cognito.user_pool_arn)
                    .with("UserPoolClientId", &cognito.user_pool_client_id)
                    .with("UserPoolDomain", &cognito.user_pool_domain);
                ("authenticate-cognito", "AuthenticateCognitoConfig", cognito.session.add_to(record))
            }
            Self::Jwt(jwt) => {
                let claims = jwt
                    .claims
                    .iter()
                    .map(|claim| Record::new().with("Format", &claim.format).with("Name", &claim.name).list("Values", &claim.values));
                let record = Record::new().with("JwksEndpoint", &jwt.jwks_endpoint).with("Issuer", &jwt.issuer);
                let record = if jwt.claims.is_empty() { record } else { record.list("AdditionalClaims", claims) };
                ("jwt-validation", "JwtValidationConfig", record)
            }
        }
    }
}

fn oidc(config: &Input) -> Answer<Oidc> {
    let secret = config.text("ClientSecret").filter(|secret| !secret.is_empty());
    let existing = config.flag("UseExistingClientSecret")?.unwrap_or(false);
    match (secret, existing) {
        (None, false) => return Err(ApiError::validation("You must specify either 'ClientSecret' or 'UseExistingClientSecret'")),
        (Some(_), true) => return Err(ApiError::validation("You cannot specify both 'ClientSecret' and 'UseExistingClientSecret'")),
        (Some(secret), false) => within_length("ClientSecret", secret, TEXT_LIMIT)?,
        (None, true) => {}
    }
    Ok(Oidc {
        issuer: url(config, "Issuer", TEXT_LIMIT)?,
        authorization_endpoint: url(config, "AuthorizationEndpoint", TEXT_LIMIT)?,
        token_endpoint: url(config, "TokenEndpoint", TEXT_LIMIT)?,
        user_info_endpoint: url(config, "UserInfoEndpoint", TEXT_LIMIT)?,
        client_id: config.required("ClientId")?.to_string(),
        existing_secret: existing,
        session: Session::read(config)?,
    })
}

fn cognito(config: &Input) -> Answer<Cognito> {
    let arn = config.required("UserPoolArn")?;
    let pool = arn
        .strip_prefix("arn:aws:cognito-idp:")
        .and_then(|tail| tail.splitn(3, ':').nth(2))
        .and_then(|tail| tail.strip_prefix("userpool/"));
    if pool.is_none_or(str::is_empty) {
        return Err(ApiError::validation(format!("'{arn}' is not a valid 'UserPoolArn'")));
    }
    Ok(Cognito {
        user_pool_arn: arn.to_string(),
        user_pool_client_id: config.required("UserPoolClientId")?.to_string(),
        user_pool_domain: config.required("UserPoolDomain")?.to_string(),
        session: Session::read(config)?,
    })
}

fn jwt(config: &Input) -> Answer<JwtValidation> {
    let issuer = config.required("Issuer")?.to_string();
    within_length("Issuer", &issuer, 256)?;
    let jwks_endpoint = url(config, "JwksEndpoint", 256)?;
    let mut claims = Vec::new();
    for item in config.items("AdditionalClaims") {
        let claim = Claim {
            format: item.required("Format")?.to_string(),
            name: item.required("Name")?.to_string(),
            values: item.required_strings("Values")?,
        };
        validation::one_of(&claim.format, "additionalClaims.format", &["single-string", "string-array", "space-separated-values"])?;
        let fault = if ["exp", "iss", "nbf", "iat"].contains(&claim.name.as_str()) {
            Some(format!("You cannot specify the claim '{}', which is always validated", claim.name))
        } else if claim.values.len() > 10 || claim.values.iter().any(|value| value.chars().count() > 256) {
            Some(format!("The claim '{}' can have at most '10' values of at most '256' characters", claim.name))
        } else if claim.format == "space-separated-values" && claim.values.iter().any(|value| value.contains(' ')) {
            Some(format!("The values of the claim '{}' cannot include spaces", claim.name))
        } else {
            None
        };
        match fault {
            Some(message) => return Err(ApiError::validation(message)),
            None => claims.push(claim),
        }
    }
    if claims.len() > 10 {
        return Err(ApiError::validation("You cannot specify more than '10' 'AdditionalClaims'"));
    }
    Ok(JwtValidation { jwks_endpoint, issuer, claims })
}
