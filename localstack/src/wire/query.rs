//! Reading the query protocol: `Action=X&A.member.1.B=…` (and EC2's dialect of it, without `member`).

use super::Input;

/// How deep parameters may lie in one another: far deeper than any of AWS. What is deeper is a parameter that no operation knows.
const DEPTH: usize = 32;

/// Decodes a form body or query string. `Action`, `Version` and the presigned-URL parameters are no parameters of the operation
/// and are left out; see [`parameter`].
pub fn parse(body: &str) -> Input {
    let mut input = Input::new();
    for (key, value) in form_urlencoded::parse(body.as_bytes()) {
        if key == "Action" || key == "Version" || key.starts_with("X-Amz-") {
            continue;
        }
        let path: Vec<&str> = key.splitn(DEPTH, '.').collect();
        input.insert(&path, &value);
    }
    input
}

/// A top-level parameter such as `Action` or `Version`.
pub fn parameter(body: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(body.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters are read by functions that call themselves.
    #[test]
    fn no_depth_is_too_deep() {
        let input = parse(&format!("{}a=b", "a.".repeat(100_000)));
        assert!(input.done().is_err());
        assert_eq!(input.leaves().len(), 1);
    }
}
