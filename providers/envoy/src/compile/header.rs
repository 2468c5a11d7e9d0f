//! Header modifiers.

use super::issue::Issue;
use crate::stack::core::{HeaderAppendAction, HeaderValue, HeaderValueOption};
use portico_providers::HeaderModifier;

/// Changes of headers, in the two lists that Envoy has for them. It takes away first, then replaces, then adds; each within its list in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Headers {
    pub add: Vec<HeaderValueOption>,
    pub remove: Vec<String>,
}

impl Headers {
    /// Lets a further modifier follow: set, then add, then remove.
    pub fn follow(&mut self, modifier: &HeaderModifier, field: &str) -> Result<(), Issue> {
        for header in &modifier.set {
            check(&header.name, &format!("{field}.set[{}]", header.name))?;
            check_value(&header.value, &format!("{field}.set[{}].value", header.name))?;
            self.forget(&header.name);
            self.add.push(option(&header.name, &header.value, HeaderAppendAction::Overwrite));
        }
        for header in &modifier.add {
            check(&header.name, &format!("{field}.add[{}]", header.name))?;
            check_value(&header.value, &format!("{field}.add[{}].value", header.name))?;
            self.add.push(option(&header.name, &header.value, HeaderAppendAction::Append));
        }
        for name in &modifier.remove {
            check(name, &format!("{field}.remove[{name}]"))?;
            self.forget(name);
            self.remove.push(name.clone());
        }
        Ok(())
    }

    fn forget(&mut self, name: &str) {
        self.add.retain(|option| !option.header.as_ref().is_some_and(|header| header.key.eq_ignore_ascii_case(name)));
    }
}

/// A header that is added, or put in the place of others.
pub(super) fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        // Envoy reads `%` as the beginning of a command.
        header: Some(HeaderValue { key: name.to_owned(), value: value.replace('%', "%%") }),
        append_action: action.into(),
        keep_empty_value: value.is_empty(),
    }
}

/// Envoy changes neither `Host` nor what begins with a colon by lists of headers, and refuses the whole configuration that asks for it.
fn check(name: &str, field: &str) -> Result<(), Issue> {
    if name.eq_ignore_ascii_case("host") || name.starts_with(':') {
        let detail = format!("Envoy does not change the header {name} as one among others");
        return Err(Issue::unsupported(field, detail, "To change the host, use a URLRewrite filter with a hostname."));
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Issue::invalid(field, format!("{name:?} is no name of a header"), "Use letters, digits and hyphens."));
    }
    Ok(())
}

/// A value is one line of text (RFC 9110); Envoy refuses the whole configuration that has another.
fn check_value(value: &str, field: &str) -> Result<(), Issue> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Issue::invalid(field, "a header's value has no control characters", "Remove line breaks and the like."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_win() {
        let modifier = |text: &str| -> HeaderModifier { serde_json::from_str(text).unwrap() };
        let mut headers = Headers::default();
        headers.follow(&modifier(r#"{"set": [{"name": "A", "value": "1"}], "add": [{"name": "a", "value": "50%"}]}"#), "f").unwrap();
        headers.follow(&modifier(r#"{"set": [{"name": "a", "value": "2"}], "remove": ["b"]}"#), "f").unwrap();
        assert_eq!(headers.add, [option("a", "2", HeaderAppendAction::Overwrite)]);
        assert_eq!(headers.remove, ["b"]);
        assert!(headers.follow(&modifier(r#"{"remove": ["Host"]}"#), "f").is_err());
    }
}
