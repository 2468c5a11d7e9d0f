//! Calls of gRPC: requests POST `/SERVICE/METHOD` with a content type of their own.

use super::api::CallMatch;
use super::matching::{PathRank, full_match, literal_start};
use super::request::Request;

/// The content type of calls; one may go on with `+` and a format.
pub const CONTENT_TYPE: &str = "application/grpc";

/// Service and method that a request calls; nothing if it is no call.
pub fn of(request: &Request) -> Option<(&str, &str)> {
    let (service, method) = request.path.strip_prefix('/')?.split_once('/')?;
    let whole = !service.is_empty() && !method.is_empty() && !method.contains('/');
    (is_one(request) && request.method == "POST" && whole).then_some((service, method))
}

/// Whether a request says that it is a call: then its answer is one to a call.
pub fn is_one(request: &Request) -> bool {
    let rest = request.header("content-type").and_then(|value| value.strip_prefix(CONTENT_TYPE));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// Whether a request is a call that is meant; all are where nothing is said.
pub fn holds(wanted: Option<&CallMatch>, request: &Request) -> bool {
    let Some((service, method)) = of(request) else { return false };
    wanted.is_none_or(|wanted| {
        let expression = wanted.kind.as_deref() == Some("RegularExpression");
        let holds = |wanted: &str, value: &str| if expression { full_match(wanted, value) } else { wanted == value };
        wanted.service.as_deref().is_none_or(|it| holds(it, service)) && wanted.method.as_deref().is_none_or(|it| holds(it, method))
    })
}

/// The place of a call among paths. Gateway API (GRPCRouteRule.Matches): by the characters of the service, then of the method; and as documented (ARCHITECTURE.md) where HTTPRoutes
/// have the same hostname: that of the path which says the same. Of an expression counts what all its matches begin with.
pub fn rank(wanted: Option<&CallMatch>) -> PathRank {
    let Some(CallMatch { kind, service, method }) = wanted else { return (false, 1, false, 0) };
    let expression = kind.as_deref() == Some("RegularExpression");
    let written = |text: &str| if expression { literal_start(text).len() } else { text.len() };
    match (service.as_deref(), method.as_deref()) {
        (Some(_), Some(_)) if !expression => (true, 0, false, 0),
        (Some(service), None) if !expression => (false, 1 + service.len(), false, 0),
        (service, method) => (false, 1 + service.map_or(0, written), true, method.map_or(0, written)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, content_type: &str) -> Request {
        Request { method: "POST".into(), headers: vec![("Content-Type".into(), content_type.into())], ..Request::get(path) }
    }

    #[test]
    fn calls_are_told_from_other_requests() {
        assert_eq!(of(&request("/a.B/Get", "application/grpc")), Some(("a.B", "Get")));
        assert_eq!(of(&request("/a.B/Get", "application/grpc+proto")), Some(("a.B", "Get")));
        for (path, content_type) in [
            ("/a.B/Get", "application/grpc-web"),
            ("/a.B/Get", "application/json"),
            ("/a.B", "application/grpc"),
            ("/a/b/c", "application/grpc"),
        ] {
            assert_eq!(of(&request(path, content_type)), None, "{path} {content_type}");
        }
        assert_eq!(of(&Request { method: "GET".into(), ..request("/a.B/Get", "application/grpc") }), None);
    }

    /// Gateway API v1.7.0, GRPCMethodMatch and GRPCRouteRule.Matches.
    #[test]
    fn services_and_methods_are_matched_and_ranked() {
        let wanted = |json: serde_json::Value| serde_json::from_value::<CallMatch>(json).unwrap();
        let call = request("/a.B/Get", "application/grpc");
        let order = [
            serde_json::json!({"type": "Exact", "service": "a.B", "method": "Get"}),
            serde_json::json!({"service": "a.B"}),
            serde_json::json!({"type": "RegularExpression", "service": "a.*", "method": "Get"}),
            serde_json::json!({"type": "RegularExpression", "service": "a.*"}),
            serde_json::json!({"method": "Get"}),
            serde_json::json!({"type": "RegularExpression", "method": "G[a-z]+"}),
        ];
        let all: Vec<CallMatch> = order.map(wanted).into();
        for pair in all.windows(2) {
            assert!(rank(Some(&pair[0])) > rank(Some(&pair[1])), "{pair:?}");
        }
        assert!(all.iter().all(|it| holds(Some(it), &call) && rank(Some(it)) > rank(None)) && holds(None, &call));
        for other in
            [serde_json::json!({"service": "a", "method": "Get"}), serde_json::json!({"type": "RegularExpression", "service": "a"})]
        {
            assert!(!holds(Some(&wanted(other)), &call));
        }
    }
}
