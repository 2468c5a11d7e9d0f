//! Filters of single backends among several, and rules of HTTPRoutes and GRPCRoutes for one hostname: what an Envoy has and an ALB has not.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::Value;

use super::bench::{Case, condition};
use super::manifest::{backend, calls, gateway_of, route};
use crate::client::{self, Answer};
use crate::fleet::CLASS;

/// Requests whose shares are counted.
const REQUESTS: usize = 200;
/// Answers in a row after which all proxies are taken to have a change: of two, one would be missed with a probability of 2^-20.
const IN_A_ROW: usize = 20;
/// Whether the gRPC service of the echo server answers tells by whom; HTTP's are told by what they echo.
const SERVICE: &str = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

const RULES: &str = "  rules:
  - matches: [{path: {value: /mix}}]
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-by, value: rule}]}}
    backendRefs:
    - name: red
      port: 8080
      weight: 2
      filters:
      - {type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-by, value: red}]}}
      - {type: URLRewrite, urlRewrite: {hostname: red.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /for-red}}}
    - name: green
      port: 8080
      weight: 1
      filters:
      - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-answer, value: green}]}}
      - {type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 8080}}}
    - {name: blue, port: 8080, weight: 1}
  - matches: [{path: {value: /half}}]
    backendRefs:
    - {name: blue, port: 8080}
    - name: red
      port: 8080
      filters:
      - {type: RequestRedirect, requestRedirect: {hostname: red.example.com, statusCode: 301}}
  - matches: [{path: {value: /cors}}]
    backendRefs:
    - {name: blue, port: 8080}
    - name: red
      port: 8080
      filters:
      - {type: CORS, cors: {allowOrigins: ['https://app.example.com']}}
";

/// Requests until as many in a row as all proxies need are as wanted.
async fn settled(case: &Case<'_>, what: &str, ask: impl AsyncFn() -> Result<()>) -> Result<()> {
    case.until(what, async || {
        for _ in 0..IN_A_ROW {
            ask().await?;
        }
        Ok(Some(()))
    })
    .await
}

fn field(echo: &Value, pointer: &str) -> String {
    echo.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Each of three backends with shares of 2, 1 and 1 gets its requests as its own filters make them: headers, rewrites, copies; redirects and CORS, too.
pub async fn of_one_backend_are_no_other_s(case: &Case<'_>) -> Result<String> {
    let names = ["red", "green", "blue", "copy"];
    let mut manifests: Vec<String> = names.iter().map(|name| backend(name, 1)).collect();
    manifests.extend([gateway_of(CLASS, "edge"), route("mix", "edge", RULES)]);
    case.apply(&manifests.concat()).await?;
    case.deployments_ready(&names).await?;
    let address = case.programmed("edge").await?;
    let url = |path: &str| format!("http://{address}{path}");
    settled(case, "all backends answer", async || {
        let answer = client::get(&url("/mix/warm")).await?;
        ensure!(answer.status == 200, "answered {}", answer.status);
        Ok(())
    })
    .await?;

    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let answer = client::get(&url("/mix/x?y=1")).await?;
        let echo = answer.json()?;
        let name = field(&echo, "/pod").split('-').next().unwrap_or_default().to_owned();
        let by: Vec<String> = serde_json::from_value(echo.pointer("/headers/X-By").cloned().context("no header of the rule")?)?;
        let seen = (field(&echo, "/path"), field(&echo, "/host"), by.join(","), header(&answer, "x-answer").to_owned());
        let wanted = match name.as_str() {
            "red" => ("/for-red/x?y=1", "red.example.com", "rule,red", ""),
            "green" => ("/mix/x?y=1", address.as_str(), "rule", "green"),
            _ => ("/mix/x?y=1", address.as_str(), "rule", ""),
        };
        let wanted = (wanted.0.to_owned(), wanted.1.to_owned(), wanted.2.to_owned(), wanted.3.to_owned());
        ensure!(seen == wanted, "{name} got {seen:?} and not {wanted:?}");
        *shares.entry(name).or_default() += 1;
    }
    // Half and a quarter of 200, with standard deviations of 7.1 and 6.1: 30 are more than four of them.
    let of = |name: &str| shares.get(name).copied().unwrap_or_default();
    ensure!(of("red").abs_diff(100) <= 30 && of("green").abs_diff(50) <= 30 && of("blue").abs_diff(50) <= 30, "shares are {shares:?}");
    case.until("as many copies came as green answered", async || {
        let log = case.kubectl(&["logs", "deployment/copy"]).await?;
        let copies = log.lines().filter(|line| line.contains("request made to /mix/x?y=1")).count();
        ensure!(copies == of("green"), "{copies} copies, {} answers", of("green"));
        Ok(Some(()))
    })
    .await?;

    let origin = [("origin", "https://app.example.com")];
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..40 {
        let answer = client::send(Method::GET, &url("/half"), &[], "").await?;
        let location = header(&answer, "location");
        ensure!(
            answer.status == 200 || answer.status == 301 && location == "http://red.example.com/half",
            "{} to {location}",
            answer.status
        );
        *seen.entry(answer.status.to_string()).or_default() += 1;
        let answer = client::send(Method::GET, &url("/cors"), &origin, "").await?;
        let allowed = header(&answer, "access-control-allow-origin");
        let name = field(&answer.json()?, "/pod").split('-').next().unwrap_or_default().to_owned();
        ensure!((allowed == "https://app.example.com") == (name == "red"), "{name} answers with {allowed:?}");
        *seen.entry(name).or_default() += 1;
    }
    ensure!(seen.len() == 4, "of two there were {seen:?}");
    Ok(format!("shares 2:1:1 gave {shares:?}"))
}

const HTTP: &str = "  hostnames: [both.example.com]
  rules:
  - backendRefs: [{name: web, port: 8080}]
  - matches:
    - path: {type: Exact, value: /SERVICE/Echo}
    - path: {type: Exact, value: /SERVICE/EchoTwo}
      method: POST
      headers: [{name: content-type, value: application/grpc}, {name: x-a, value: '1'}]
    backendRefs: [{name: special, port: 8080}]
";

/// A GRPCRoute, its rules after its hostname.
fn calls_to(name: &str, rules: &str) -> String {
    let spec = format!("  hostnames: [both.example.com]\n  rules:\n{rules}    backendRefs: [{{name: calls, port: 8080}}]\n");
    route(name, "edge", &spec).replacen("kind: HTTPRoute", "kind: GRPCRoute", 1)
}

/// An HTTPRoute and GRPCRoutes serve one hostname together: whichever names a request more exactly has it, and of two alike the older one.
pub async fn of_both_kinds_of_routes_share_a_hostname(case: &Case<'_>) -> Result<String> {
    let names = ["web", "special", "calls"];
    let manifests = [
        backend("web", 1),
        calls("special"),
        calls("calls"),
        gateway_of(CLASS, "edge"),
        route("web", "edge", &HTTP.replace("SERVICE", SERVICE)),
    ];
    case.apply(&manifests.concat()).await?;
    // Of routes of the same second the name decides.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let one = format!("  - matches:\n    - method: {{service: {SERVICE}, method: Echo}}\n");
    let two = format!("    - method: {{service: {SERVICE}, method: EchoTwo}}\n      headers: [{{name: x-a, value: '1'}}]\n");
    case.apply(&calls_to("echo", &format!("{one}{two}"))).await?;
    case.deployments_ready(&names).await?;
    let address = case.programmed("edge").await?;
    let message = tempfile::NamedTempFile::new().context("a file")?;
    // An empty message: not compressed, of length 0.
    std::fs::write(message.path(), [0; 5]).context("a file")?;
    let data = format!("@{}", message.path().display());
    let asked = async |wanted: &str, method: &str, headers: &[&str]| {
        let url = format!("http://both.example.com/{method}");
        let resolve = format!("both.example.com:80:{address}");
        let mut arguments = vec!["--http2-prior-knowledge", "--resolve", &resolve];
        if !method.is_empty() {
            arguments.extend(["-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &data]);
        }
        arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
        arguments.push(&url);
        settled(case, &format!("{wanted} answers {method} with {headers:?}"), async || {
            let reply = case.curl(&arguments).await?.context("no answer")?;
            ensure!(reply.status == 200 && reply.body.contains(&format!("{wanted}-")), "{}: {:?}", reply.status, reply.body);
            Ok(())
        })
        .await
    };
    let (echo, two) = (format!("{SERVICE}/Echo"), format!("{SERVICE}/EchoTwo"));
    asked("web", "", &[]).await?;
    // A call says more than its path alone; of two that say the same the HTTPRoute's is older.
    asked("calls", &echo, &[]).await?;
    asked("special", &two, &["x-a: 1"]).await?;
    asked("web", &two, &[]).await?;
    // A GRPCRoute for all calls takes those that were the prefix `/`'s, and no others.
    case.apply(&calls_to("all", "  -\n")).await?;
    asked("calls", &two, &[]).await?;
    asked("special", &two, &["x-a: 1"]).await?;
    asked("web", "", &[]).await?;
    for kind in ["httproute/web", "grpcroute/echo", "grpcroute/all"] {
        let route = case.get(&[kind]).await?;
        let accepted = condition(route.pointer("/status/parents/0/conditions"), "Accepted");
        ensure!(accepted.as_deref() == Some("True"), "{kind}: Accepted is {accepted:?}");
    }
    Ok(String::new())
}
