//! `listener-attributes`: "HTTP header modification for your Application Load Balancer" (`header-modification.html`), and the cookies of
//! `edit-target-group-attributes.html` ("Sticky sessions").

use std::time::Duration;

use portico_cloud::dataplane::config::{
    Action, FixedResponse, Forward, ListenerAttributes, Redirect, TargetStickiness, WeightedTargetGroup,
};

use super::super::harness::PORT;
use super::{Table, forward, request};

/// The headers that a listener can add, with a value that the page gives as an example.
const ADDED: &[(&str, &str)] = &[
    ("Strict-Transport-Security", "max-age=31536000;includeSubdomains;preload"),
    ("Access-Control-Allow-Origin", "https://example.com"),
    ("Access-Control-Allow-Methods", "GET,POST,DELETE"),
    ("Access-Control-Allow-Headers", "Content-Type,X-Custom-Header"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Access-Control-Expose-Headers", "Cache-Control"),
    ("Access-Control-Max-Age", "86400"),
    ("Content-Security-Policy", "default-src https:"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
];

/// Every way to an answer: what the rule does, the request, the status.
fn ways() -> Vec<(Action, &'static str, u16)> {
    let redirect = Redirect {
        status: 301,
        protocol: "HTTPS".into(),
        host: "#{host}".into(),
        port: "443".into(),
        path: "/#{path}".into(),
        query: "#{query}".into(),
    };
    let fixed = FixedResponse { status: 404, content_type: "text/plain".into(), body: "none".into() };
    vec![
        (forward(&[("g", 1)]), "GET h/", 200),
        (forward(&[("g", 1)]), "GET h/status/500", 500),
        (Action::FixedResponse(fixed), "GET h/", 404),
        (Action::Redirect(redirect), "GET h/", 301),
        // The load balancer's own error: a target group without targets.
        (forward(&[("none", 1)]), "GET h/", 503),
    ]
}

#[tokio::test]
async fn headers_that_a_listener_adds() {
    let mut table = Table::new(PORT).await;
    let empty = super::group("none", &[]);
    table.world.groups.push(empty);
    for (action, text, status) in ways() {
        table.rule(vec![], vec![], action).await;
        for (name, value) in ADDED {
            let attributes =
                ListenerAttributes { response_headers: vec![((*name).into(), (*value).into())], ..ListenerAttributes::default() };
            table.world.listener().attributes = attributes;
            table.world.apply().await;
            let reply = table.ask(&request(text)).await;
            assert_eq!((reply.status, reply.header(name)), (status, Some(*value)), "{text}");
            // "If the header is not enabled, it is not added."
            assert!(ADDED.iter().filter(|(other, _)| other != name).all(|(other, _)| reply.header(other).is_none()), "{reply:?}");
        }
        // "routing.http.response.server.enabled": the Server header of any answer goes.
        for enabled in [true, false] {
            table.world.listener().attributes = ListenerAttributes { server_header: enabled, ..ListenerAttributes::default() };
            table.world.apply().await;
            assert_eq!(table.ask(&request(text)).await.header("server").is_some(), enabled, "{text}");
        }
    }
    table.end(60).await;
}

/// The stickiness of the target group and of the rule, the request, the cookies that are set.
#[tokio::test]
async fn cookies_of_sticky_sessions() {
    let hour = Duration::from_secs(3600);
    let lb = || Some(TargetStickiness::LoadBalancerCookie { duration: hour });
    let app = || Some(TargetStickiness::ApplicationCookie { name: "SESSION".into(), duration: hour });
    let rows: [(Option<TargetStickiness>, bool, &str, &[&str]); 6] = [
        (None, false, "GET h/", &[]),
        // "AWSALB"; "If a request has CORS …, AWSALBCORS with SameSite=None; Secure" is sent with it.
        (lb(), false, "GET h/", &["AWSALB", "AWSALBCORS"]),
        // "AWSALBTG": the target group of a rule with several.
        (None, true, "GET h/", &["AWSALBTG", "AWSALBTGCORS"]),
        (lb(), true, "GET h/", &["AWSALB", "AWSALBCORS", "AWSALBTG", "AWSALBTGCORS"]),
        // "Application-based": only once the target sets its cookie.
        (app(), false, "GET h/", &[]),
        (app(), false, "GET h/cookie", &["AWSALBAPP-0", "SESSION"]),
    ];
    let mut table = Table::new(PORT).await;
    for (stickiness, of_rule, text, expected) in rows {
        table.world.groups[0].stickiness = stickiness;
        let target_groups = vec![WeightedTargetGroup { target_group: "g".into(), weight: 1 }];
        table.rule(vec![], vec![], Action::Forward(Forward { target_groups, stickiness: of_rule.then_some(hour) })).await;
        let reply = table.ask(&request(text)).await;
        let set: Vec<&str> = reply
            .head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| key.eq_ignore_ascii_case("set-cookie"))
            .map(|(_, value)| value)
            .collect();
        let mut names: Vec<&str> = set.iter().filter_map(|cookie| cookie.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{text}");
        for cookie in set.iter().filter(|cookie| cookie.starts_with("AWSALB")) {
            assert!(cookie.contains("Path=/") && cookie.contains("Expires="), "{cookie}");
            assert_eq!(
                cookie.contains("SameSite=None") && cookie.contains("Secure"),
                cookie.split('=').next().unwrap().ends_with("CORS"),
                "{cookie}"
            );
        }
        // A cookie that is nobody's is no error: another target is chosen.
        let again = table.ask(&request(&format!("{text} | Cookie: AWSALB=rubbish; AWSALBTG=rubbish; AWSALBAPP-0=rubbish"))).await;
        assert_eq!(again.status, 200);
    }
    table.end(12).await;
}
