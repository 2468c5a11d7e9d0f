//! Reading the query protocol: `Action=X&A.member.1.B=…` (and EC2's dialect of it, without `member`).

use super::Input;

/// Decodes a form body or query string. `Action`, `Version` and the presigned-URL parameters are no parameters of the operation
/// and are left out; see [`parameter`].
pub fn parse(body: &str) -> Input {
    let mut input = Input::new();
    for (key, value) in form_urlencoded::parse(body.as_bytes()) {
        if key == "Action" || key == "Version" || key.starts_with("X-Amz-") {
            continue;
        }
        let path: Vec<&str> = key.split('.').collect();
        input.insert(&path, &value);
    }
    input
}

/// A top-level parameter such as `Action` or `Version`.
pub fn parameter(body: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(body.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
