//! Random requests, aimed at the boundaries of what the routes match.

use super::Generator;
use super::call::{CALLED, METHODS as CALLED_METHODS};
use super::rule::PATHS;
use crate::judge::Class;
use crate::judge::api::{Cluster, Gateway, Kind, Match, Route, Rule};
use crate::judge::attachment::{attached, covers, listeners};
use crate::judge::bench::TRACE;
use crate::judge::call::CONTENT_TYPE;
use crate::judge::matching::Path;
use crate::judge::request::Request;
use crate::judge::timeout::DELAY;

const METHODS: [&str; 7] = ["GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS"];

/// A request to one of a Gateway's ports, mostly aimed at one of the routes. Proxies get mostly such as are traced by what is given.
pub fn request(generator: &mut Generator, cluster: &Cluster, gateway: &Gateway, trace: &str) -> Option<Request> {
    let places = listeners(cluster, gateway);
    let place = generator.pick(&places)?;
    // Mostly a route that is attached there, sometimes any.
    let near = |route: &&Route| attached(cluster, &place, route);
    let routes: Vec<&Route> =
        if generator.chance(90) { cluster.routes.iter().filter(near).collect() } else { cluster.routes.iter().collect() };
    let route = generator.pick(&routes);
    let of = |rule| move |matches| (rule, matches);
    let matches: Vec<(&Rule, &Match)> =
        route.into_iter().flat_map(|route| &route.spec.rules).flat_map(|rule| rule.matches.iter().map(of(rule))).collect();
    let (rule, aim) = generator.pick(&matches).unzip();
    let host = generator.host(route, place.listener.hostname.as_deref());
    let mut request = Request {
        method: generator.method(aim),
        port: place.listener.port,
        host,
        path: generator.path(aim),
        query: generator.query(aim),
        headers: generator.headers(aim),
    };
    if generator.class == Class::PorticoEnvoy {
        let is_call = route.is_some_and(|route| route.kind == Kind::Grpc);
        if generator.chance(if is_call { 95 } else { 8 }) {
            generator.call(&mut request, aim);
        } else if generator.chance(if rule.is_some_and(shares) { 70 } else { 4 }) {
            generator.of_another_origin(&mut request);
        }
        generator.ask_the_backend(&mut request, rule, trace);
    }
    Some(request)
}

/// Whether a rule or one of its backends says something of other origins.
fn shares(rule: &Rule) -> bool {
    rule.filters.iter().chain(rule.backend_refs.iter().flat_map(|backend| &backend.filters)).any(|filter| filter.cors.is_some())
}

impl Generator {
    /// Makes a call of a request, or what is nearly one.
    fn call(&mut self, request: &mut Request, aim: Option<&Match>) {
        let wanted = aim.and_then(Match::call);
        let exact = wanted.filter(|it| it.kind.as_deref() != Some("RegularExpression"));
        let keeps = |generator: &mut Self| generator.chance(85);
        let service = exact.and_then(|it| it.service.clone()).filter(|_| keeps(self)).unwrap_or_else(|| self.text(&CALLED).to_owned());
        let method =
            exact.and_then(|it| it.method.clone()).filter(|_| keeps(self)).unwrap_or_else(|| self.text(&CALLED_METHODS).to_owned());
        request.path = format!("/{service}/{method}");
        request.method = if self.chance(95) { "POST" } else { "PUT" }.to_owned();
        let rest = self.text(&["", "", "", "", "+proto", "-web"]);
        let content_type = if self.chance(95) { format!("{CONTENT_TYPE}{rest}") } else { "application/json".to_owned() };
        request.headers.push(("content-type".to_owned(), content_type));
    }

    /// Makes a request one that a page of some origin sends, or the browser before it.
    fn of_another_origin(&mut self, request: &mut Request) {
        let origin = self.text(&["https://a.test", "https://b.a.test", "https://c.b.a.test", "http://b.test:8443", "http://a.test"]);
        request.headers.push(("origin".to_owned(), origin.to_owned()));
        if self.chance(50) {
            let method = if self.chance(70) { request.method.clone() } else { self.text(&["PUT", "DELETE"]).to_owned() };
            request.method = "OPTIONS".to_owned();
            request.headers.push(("access-control-request-method".to_owned(), method));
            if self.chance(50) {
                request.headers.push(("access-control-request-headers".to_owned(), self.text(&["x-a", "x-b, x-a"]).to_owned()));
            }
        }
    }

    /// Asks the echo server for a header that filters change, and for patience; and traces a request.
    fn ask_the_backend(&mut self, request: &mut Request, rule: Option<&Rule>, trace: &str) {
        if self.chance(20) {
            request.headers.push(("x-echo-set-header".to_owned(), "x-answer:old".to_owned()));
        }
        let mut pairs: Vec<String> = request.query.clone().filter(|query| !query.is_empty()).into_iter().collect();
        let delay = rule.map(|rule| {
            if rule.timeouts.are_short() {
                ("2s", 60)
            } else if rule.timeouts.limits() {
                ("50ms", 40)
            } else {
                ("", 0)
            }
        });
        if let Some((delay, chance)) = delay
            && self.chance(chance)
        {
            pairs.push(format!("{DELAY}={delay}"));
        }
        if self.chance(80) {
            pairs.push(format!("{TRACE}={trace}"));
        }
        if !pairs.is_empty() {
            request.query = Some(pairs.join("&"));
        }
    }

    fn method(&mut self, aim: Option<&Match>) -> String {
        let wanted = aim.and_then(Match::http_method).filter(|_| self.chance(80)).map(str::to_owned);
        wanted.unwrap_or_else(|| self.text(&METHODS).to_owned())
    }

    /// A host that the listener has in common with the route, if one is found soon; sometimes whatever comes.
    fn host(&mut self, route: Option<&Route>, listener: Option<&str>) -> String {
        let names = route.map(|route| route.spec.hostnames.as_slice()).unwrap_or_default();
        let tries = if self.chance(85) { 20 } else { 1 };
        let mut host = String::new();
        for _ in 0..tries {
            host = self.any_host(route, listener);
            let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if listener.is_none_or(|it| covers(it, &name)) && (names.is_empty() || names.iter().any(|it| covers(it, &name))) {
                break;
            }
        }
        host
    }

    fn any_host(&mut self, route: Option<&Route>, listener: Option<&str>) -> String {
        let names: Vec<&str> = route.map(|route| route.spec.hostnames.iter().map(String::as_str).collect()).unwrap_or_default();
        let name = match self.between(0, 9) {
            0 => self.text(&["a.example.com", "b.a.example.com", "example.com", "other.org", "a.b.c.com", "com", "aexample.com"]),
            1..=3 => listener.or_else(|| self.pick(&names)).unwrap_or("anything.test"),
            _ => self.pick(&names).or(listener).unwrap_or("anything.test"),
        };
        let mut host = match name.strip_prefix("*.") {
            Some(parent) => format!("{}{parent}", self.text(&["z.", "y.z.", "a.", "b.a.", "", "b."])),
            None => name.to_owned(),
        };
        if self.chance(8) {
            host = host.to_uppercase();
        }
        if self.chance(10) {
            host.push_str(self.text(&[":80", ":8080", ":1234"]));
        }
        host
    }

    fn path(&mut self, aim: Option<&Match>) -> String {
        let mut path = match aim.map(Path::of) {
            Some(Path::Exact(path)) => path.to_owned(),
            Some(Path::Prefix("")) => self.text(&PATHS).to_owned(),
            Some(Path::Prefix(path)) => path.to_owned(),
            Some(Path::Regex(_)) | None => {
                self.text(&["/a/b", "/a/c", "/abc", "/a", "/ab", "/x/b", "/a.b", "/axb", "/a/b/c", "/", "/none"]).to_owned()
            }
        };
        match self.between(0, 19) {
            0..=2 => path.push('/'),
            3..=5 => path.push_str("/b"),
            6 => path.push('b'),
            7 => path.push_str("/b/c/"),
            8 => path = path.trim_end_matches('/').to_owned(),
            9 => path = path.to_uppercase(),
            10 => {
                path.pop();
            }
            11 => path = encode_last_letter(&path),
            // The echo server redirects from a path with three slashes in a row by itself.
            12 => path = format!("{}//b", path.trim_end_matches('/')),
            13 => path = path.replace('*', "xyz"),
            14 => path = path.replace('.', "x"),
            15 => path.push_str("%2Fb"),
            _ => {}
        }
        // What is left of a percent-encoding that was cut or put into capitals is none.
        let whole = path.split('%').skip(1).all(|part| part.get(..2).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())));
        if path.starts_with('/') && whole { path } else { "/".to_owned() }
    }

    fn query(&mut self, aim: Option<&Match>) -> Option<String> {
        let mut pairs: Vec<String> = Vec::new();
        if self.chance(15) {
            pairs.push(self.text(&["x=y", "1=", "1", "=1", "q=a", "", "2=1*", "1=1&1=10"]).to_owned());
        }
        for wanted in aim.map(|aim| aim.query_params.as_slice()).unwrap_or_default() {
            let pair = match self.between(0, 9) {
                0 => format!("{}=", wanted.name),
                1 => format!("{}={}x", wanted.name, wanted.value),
                2 => format!("{}={}", wanted.name.to_uppercase(), wanted.value.to_uppercase()),
                3 => format!("{}=no&{}={}", wanted.name, wanted.name, wanted.value),
                4 => format!("{}={}", wanted.name, wanted.value.replace('*', "%2A").replace('0', "%30")),
                _ => format!("{}={}", wanted.name, wanted.value),
            };
            pairs.push(pair);
        }
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    fn headers(&mut self, aim: Option<&Match>) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for wanted in aim.map(|aim| aim.headers.as_slice()).unwrap_or_default() {
            let name = if self.chance(30) { wanted.name.to_uppercase() } else { wanted.name.clone() };
            let value = match self.between(0, 9) {
                0 => wanted.value.to_uppercase(),
                1 => format!("{}1", wanted.value),
                2 => wanted.value.replace('*', "bc").replace('?', "x"),
                3 => continue,
                _ if wanted.kind.as_deref() == Some("RegularExpression") => self.text(&["1", "a1", "A", "b"]).to_owned(),
                _ => wanted.value.clone(),
            };
            // A header that is sent twice is left to implementations.
            if !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                headers.push((name, value));
            }
        }
        headers
    }
}

/// The path with its last letter percent-encoded, which RFC 3986 takes for the same.
fn encode_last_letter(path: &str) -> String {
    match path.char_indices().rfind(|(_, c)| c.is_ascii_alphabetic()) {
        Some((at, c)) if !path.contains('%') => {
            let (before, after) = path.split_at(at);
            format!("{before}%{:02X}{}", u32::from(c), after.get(1..).unwrap_or_default())
        }
        _ => path.to_owned(),
    }
}
