//! What asks who a client is.

use super::Action;

/// Asks who a client is before another action serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate {
    /// What is asked for.
    pub demand: Demand,
    /// What serves the client then. Never another one that asks.
    pub then: Box<Action>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// That its user signs in at an identity provider.
    SignIn(SignIn),
    /// A JSON Web Token.
    Token(Token),
}

/// A sign-in at an identity provider. What an unauthenticated client gets is carried out; completing a sign-in is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Where users sign in.
    pub authorization_endpoint: String,
    /// The load balancer's name at the provider.
    pub client_id: String,
    /// The claims that are asked for.
    pub scope: String,
    /// Further parameters of the redirect.
    pub extra: Vec<(String, String)>,
    /// What becomes of clients that have not signed in.
    pub unauthenticated: Unauthenticated,
}

/// What becomes of clients that have not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// 401.
    Deny,
    /// They are served.
    Allow,
    /// They are sent to the sign-in.
    SignIn,
}

/// What a JSON Web Token must say, and who must have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where the keys are published of which one must have signed it.
    pub keys: String,
    /// Who must have issued it.
    pub issuer: String,
    /// What else it must have.
    pub claims: Vec<Claim>,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// How its values are written.
    pub format: ClaimFormat,
    /// The values of which it must have one.
    pub values: Vec<String>,
}

/// How a claim's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFormat {
    /// One text.
    Single,
    /// A list of texts.
    Array,
    /// A text with spaces between values.
    SpaceSeparated,
}

impl Action {
    /// What serves the request, once it is known who the client is.
    pub fn served_by(&self) -> &Self {
        match self {
            Self::Authenticate(authenticate) => &authenticate.then,
            other => other,
        }
    }
}
