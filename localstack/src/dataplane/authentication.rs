//! Asking who a client is. Sources: AWS, "Authenticate users using an Application Load Balancer", "Verify JWTs using an Application Load Balancer".

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Response, header, request};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    body::ResponseBody,
    config::{Claim, ClaimFormat, Demand, SignIn, Token, Unauthenticated},
    page::{self, ErrorPage},
};

mod keys;

pub(super) use keys::KeyStore;

/// Where the identity provider sends users back to.
const CALLBACK: &str = "/oauth2/idpresponse";

/// What a request gets instead of what its rule would serve it with; None: it is served.
pub(super) async fn answer(
    keys: &KeyStore,
    demand: &Demand,
    head: &request::Parts,
    host: &str,
    random: u128,
) -> Result<Option<Response<ResponseBody>>, ErrorPage> {
    match demand {
        Demand::SignIn(_) if head.uri.path() == CALLBACK => Err(ErrorPage::AuthenticationNotServed),
        Demand::SignIn(sign_in) => match sign_in.unauthenticated {
            Unauthenticated::Deny => Err(ErrorPage::Unauthorized),
            Unauthenticated::Allow => Ok(None),
            Unauthenticated::SignIn => Ok(Some(redirect(sign_in, host, random))),
        },
        Demand::Token(token) => judged(keys, token, head, Timestamp::now()).await.map(|()| None),
    }
}

/// Why a request is not authenticated, as access logs name it (AWS, "Error reason codes").
pub(super) fn error_reason(demand: &Demand, head: &request::Parts) -> Option<&'static str> {
    let token = match demand {
        Demand::SignIn(_) => return (head.uri.path() == CALLBACK).then_some("AuthUnhandledException"),
        Demand::Token(token) => token,
    };
    let Some(sent) = head.headers.get(header::AUTHORIZATION) else { return Some("JWTHeaderNotPresent") };
    let Some((algorithm, claims)) = sent.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).and_then(parts) else {
        return Some("JWTRequestFormatInvalid");
    };
    if algorithm.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Some("JWTRequestFormatInvalid");
    }
    let mut demanded = ["iss", "exp"].into_iter().chain(token.claims.iter().map(|claim| claim.name.as_str()));
    if demanded.any(|name| claims.get(name).is_none()) {
        return Some("JWTClaimNotPresent");
    }
    // What says all the right things fails by its signature, or for want of keys, for which AWS has no code that we could read.
    let right = says_what_it_must(token, sent.to_str().ok()?.strip_prefix("Bearer ")?, Timestamp::now()).unwrap_or(false);
    (!right).then_some("JWTClaimValueInvalid")
}

fn redirect(sign_in: &SignIn, host: &str, random: u128) -> Response<ResponseBody> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", &sign_in.client_id);
    query.append_pair("redirect_uri", &format!("https://{host}{CALLBACK}"));
    query.append_pair("response_type", "code");
    query.append_pair("scope", &sign_in.scope);
    query.append_pair("state", &format!("{random:032x}"));
    for (name, value) in &sign_in.extra {
        query.append_pair(name, value);
    }
    let mark = if sign_in.authorization_endpoint.contains('?') { '&' } else { '?' };
    let mut response = page::redirect(302, format!("{}{mark}{}", sign_in.authorization_endpoint, query.finish()));
    if let Ok(cookie) = HeaderValue::try_from(format!("AWSALBAuthNonce={:016x}; Path=/; Secure; HttpOnly", random >> 64)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether a token says what it must and is signed, and else what its client gets.
async fn judged(keys: &KeyStore, demand: &Token, head: &request::Parts, now: Timestamp) -> Result<(), ErrorPage> {
    let bearer = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !says_what_it_must(demand, token, now).unwrap_or(false) {
        return Err(ErrorPage::Unauthorized);
    }
    let (id, text, signature) = signature(token).ok_or(ErrorPage::Unauthorized)?;
    match keys.signed(&demand.keys, id.as_deref(), text.as_bytes(), &signature).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(ErrorPage::Unauthorized),
        Err(trouble) => {
            // AWS: a request is not forwarded if the keys cannot be had.
            tracing::warn!(target: "portico_cloud", "tokens cannot be verified with the keys of {}: {trouble}", demand.keys);
            Err(ErrorPage::InternalServerError)
        }
    }
}

/// The id of the key that signed a token, what it signed, and the signature.
fn signature(token: &str) -> Option<(Option<String>, &str, Vec<u8>)> {
    let (text, signature) = token.rsplit_once('.')?;
    let (head, _) = parts(token)?;
    Some((head.get("kid").and_then(Value::as_str).map(str::to_owned), text, URL_SAFE_NO_PAD.decode(signature).ok()?))
}

fn says_what_it_must(demand: &Token, token: &str, now: Timestamp) -> Option<bool> {
    let (head, claims) = parts(token)?;
    let seconds = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
    let now = now.as_millisecond() as f64 / 1000.0;
    // NaN, which stands for what is no number, fulfils none of these.
    let in_time = seconds("exp").is_some_and(|at| at > now) && ["nbf", "iat"].iter().all(|name| seconds(name).is_none_or(|at| at <= now));
    let issued = claims.get("iss").and_then(Value::as_str) == Some(&demand.issuer);
    let algorithm = head.get("alg").and_then(Value::as_str) == Some("RS256");
    Some(algorithm && in_time && issued && demand.claims.iter().all(|claim| has(&claims, claim)))
}

/// Head and claims of a token.
fn parts(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let (head, claims, _signature) = (parts.next()?, parts.next()?, parts.next().filter(|signature| !signature.is_empty())?);
    let decoded = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let both = (decoded(head)?, decoded(claims)?);
    parts.next().is_none().then_some(both)
}

fn has(claims: &Value, wanted: &Claim) -> bool {
    let Some(value) = claims.get(&wanted.name) else { return false };
    let one_of = |text: &str| wanted.values.iter().any(|value| value == text);
    match wanted.format {
        ClaimFormat::Single => value.as_str().is_some_and(one_of),
        ClaimFormat::Array => value.as_array().is_some_and(|items| items.iter().filter_map(Value::as_str).any(one_of)),
        ClaimFormat::SpaceSeparated => value.as_str().is_some_and(|text| text.split(' ').any(one_of)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::keys::tests::Issuer;
    use super::*;

    fn token(head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(head), part(claims))
    }

    /// The status that a token's client gets, which must not depend on any key: 200 if it is served.
    async fn judge(keys: &str, authorization: Option<String>) -> u16 {
        let claims = [("roles", ClaimFormat::Array), ("scope", ClaimFormat::SpaceSeparated)];
        let claim = |(name, format): (&str, ClaimFormat)| Claim { name: name.into(), format, values: vec!["a".into(), "b".into()] };
        let demand = Token { keys: keys.into(), issuer: "me".into(), claims: claims.map(claim).to_vec() };
        let mut request = http::Request::get("/");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let judged = judged(&KeyStore::default(), &demand, &head, Timestamp::from_second(1000).unwrap()).await;
        judged.map_or_else(|page| page.status().0, |()| 200)
    }

    /// Where no keys are.
    const NOWHERE: &str = "https://127.0.0.1:1/keys";

    #[tokio::test]
    async fn tokens_must_say_what_is_demanded() {
        let head = json!({ "alg": "RS256" });
        let good = json!({ "iss": "me", "exp": 1001, "nbf": 999, "roles": ["x", "b"], "scope": "y a" });
        let but = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            judge(NOWHERE, Some(format!("Bearer {}", token(&head, &claims))))
        };
        // All that it says is right: what is left is the signature, and there are no keys.
        assert_eq!(but("iat", json!(1000)).await, 500);
        for (name, value) in [
            ("iss", json!("you")),
            ("exp", json!(999)),
            ("exp", json!("soon")),
            ("exp", Value::Null),
            ("nbf", json!(1001)),
            ("iat", json!(1001)),
            ("roles", json!(["x"])),
            ("roles", json!("a")),
            ("scope", json!("ya")),
        ] {
            assert_eq!(but(name, value.clone()).await, 401, "{name} {value}");
        }
        assert_eq!(judge(NOWHERE, Some(format!("Bearer {}", token(&json!({ "alg": "none" }), &good)))).await, 401);
        for value in [None, Some("Bearer x".into()), Some("Basic x".into()), Some(format!("Bearer {}.x", token(&head, &good)))] {
            assert_eq!(judge(NOWHERE, value).await, 401);
        }
    }

    #[tokio::test]
    async fn tokens_must_be_signed_with_a_published_key() {
        let (issuer, stranger) = (Issuer::start().await, Issuer::start().await);
        let good = json!({ "iss": "me", "exp": 1001, "roles": ["b"], "scope": "a" });
        let forged = json!({ "iss": "me", "exp": 1001, "roles": ["a"], "scope": "a" });
        let served = async |token: String| judge(&issuer.endpoint, Some(format!("Bearer {token}"))).await;
        assert_eq!(served(issuer.token(Some("1"), &good)).await, 200);
        // Without an id any key may have signed it.
        assert_eq!(served(issuer.token(None, &good)).await, 200);
        assert_eq!(served(issuer.token(Some("2"), &good)).await, 401);
        assert_eq!(served(stranger.token(Some("1"), &good)).await, 401);
        let (signed, other) = (issuer.token(Some("1"), &good), issuer.token(Some("1"), &forged));
        let spoilt = format!("{}.{}", other.rsplit_once('.').unwrap().0, signed.rsplit_once('.').unwrap().1);
        assert_eq!(served(spoilt).await, 401);
        for wrong in ["many", "other", "absent"] {
            assert_eq!(judge(&format!("{}{wrong}", issuer.endpoint), Some(format!("Bearer {signed}"))).await, 500, "{wrong}");
        }
    }

    #[test]
    fn refusals_have_the_documented_reasons() {
        let claims = vec![Claim { name: "roles".into(), format: ClaimFormat::Array, values: vec!["a".into()] }];
        let demand = Demand::Token(Token { keys: NOWHERE.into(), issuer: "me".into(), claims });
        let reason = |authorization: Option<String>| {
            let mut request = http::Request::get("/");
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            error_reason(&demand, &request.body(()).unwrap().into_parts().0)
        };
        let bearer = |claims: Value| Some(format!("Bearer {}", token(&json!({ "alg": "RS256" }), &claims)));
        let later = Timestamp::now().as_second() + 1000;
        assert_eq!(reason(None), Some("JWTHeaderNotPresent"));
        assert_eq!(reason(Some("Bearer x".into())), Some("JWTRequestFormatInvalid"));
        assert_eq!(reason(bearer(json!({ "iss": "me", "exp": later }))), Some("JWTClaimNotPresent"));
        assert_eq!(reason(bearer(json!({ "iss": "me", "exp": later, "roles": ["b"] }))), Some("JWTClaimValueInvalid"));
        assert_eq!(reason(bearer(json!({ "iss": "me", "exp": later, "roles": ["a"] }))), None);
    }

    #[tokio::test]
    async fn sign_ins_send_away_deny_or_allow() {
        let sign_in = |unauthenticated| {
            Demand::SignIn(SignIn {
                authorization_endpoint: "https://idp.example/authorize".into(),
                client_id: "me".into(),
                scope: "openid email".into(),
                extra: vec![("prompt".into(), "login".into())],
                unauthenticated,
            })
        };
        let ask = async |unauthenticated, path: &str| {
            let head = http::Request::get(path).body(()).unwrap().into_parts().0;
            answer(&KeyStore::default(), &sign_in(unauthenticated), &head, "a.example", 5).await
        };
        let response = ask(Unauthenticated::SignIn, "/x").await.unwrap().unwrap();
        let expected = "https://idp.example/authorize?client_id=me&redirect_uri=https%3A%2F%2Fa.example%2Foauth2%2Fidpresponse&response_type=code\
                        &scope=openid+email&state=00000000000000000000000000000005&prompt=login";
        assert_eq!((response.status().as_u16(), response.headers()["location"].to_str().unwrap()), (302, expected));
        assert_eq!(ask(Unauthenticated::Deny, "/x").await.unwrap_err(), ErrorPage::Unauthorized);
        assert!(ask(Unauthenticated::Allow, "/x").await.unwrap().is_none());
        assert_eq!(ask(Unauthenticated::SignIn, CALLBACK).await.unwrap_err(), ErrorPage::AuthenticationNotServed);
    }
}
