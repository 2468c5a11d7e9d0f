//! Values of conditions: plain where plain values can say it, else anchored regular expressions.

use crate::limit;
use crate::stack::Patterns;
use portico_providers::Hostname;

/// A text in which nothing has a meaning of its own. Only what every regular-expression engine treats alike is escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The text that [`escape`] wrote; nothing for an expression in which something has a meaning.
pub(crate) fn unescape(expression: &str) -> Option<String> {
    let mut text = String::with_capacity(expression.len());
    let mut characters = expression.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.push(characters.next().filter(|c| is_special(*c))?),
            special if is_special(special) => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

fn is_special(c: char) -> bool {
    matches!(c, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$')
}

/// One anchored regular expression, if it fits (AWS: 128 characters).
pub(crate) fn regex(expression: String) -> Option<Patterns> {
    (expression.len() <= limit::CONDITION_VALUE_LENGTH).then(|| Patterns::RegexValues(vec![expression]))
}

/// A hostname with any port: clients write the port into the Host header, and plain values only match where it is the listener's own.
///
/// AWS compares hosts in lower case [assumed], which hostnames already are. A hostname too long for that becomes a plain value; nothing if even that does
/// not fit.
pub(crate) fn hostname(name: &Hostname) -> Option<Patterns> {
    let expression = match name.wildcard_suffix() {
        Some(suffix) => format!("^[^:]+{}(:[0-9]+)?$", escape(suffix)),
        None => format!("^{}(:[0-9]+)?$", escape(name.as_str())),
    };
    let plain = || (name.as_str().len() <= limit::CONDITION_VALUE_LENGTH).then(|| Patterns::Values(vec![name.as_str().to_owned()]));
    regex(expression).or_else(plain)
}

/// Exactly this path.
pub(crate) fn exact_path(path: &str) -> Option<Patterns> {
    if is_plain_path(path) && path.len() <= limit::CONDITION_VALUE_LENGTH {
        return Some(Patterns::Values(vec![path.to_owned()]));
    }
    regex(format!("^{}$", escape(path))).filter(|_| is_printable(path))
}

/// This path and everything below it. `values` says how many values may be used: two plain ones read better in AWS's console, one expression is shorter.
pub(crate) fn path_prefix(prefix: &str, values: usize) -> Option<Patterns> {
    let below = format!("{prefix}/*");
    let expression = || regex(format!("^{}(/.*)?$", escape(prefix))).filter(|_| is_printable(prefix));
    if values >= 2 && is_plain_path(prefix) && below.len() <= limit::CONDITION_VALUE_LENGTH {
        return Some(Patterns::Values(vec![prefix.to_owned(), below]));
    }
    expression()
}

/// Everything below this path, but not the path itself.
pub(crate) fn below_path(prefix: &str) -> Option<Patterns> {
    let below = format!("{prefix}/*");
    if is_plain_path(prefix) && below.len() <= limit::CONDITION_VALUE_LENGTH {
        return Some(Patterns::Values(vec![below]));
    }
    regex(format!("^{}/.*$", escape(prefix))).filter(|_| is_printable(prefix))
}

/// Exactly this text, in this case (AWS: plain values of header conditions ignore case).
pub(crate) fn exact_text(text: &str) -> Option<Patterns> {
    regex(format!("^{}$", escape(text))).filter(|_| is_printable(text))
}

/// A regular expression that its author wrote, for the whole text. The reason is a sentence.
pub(crate) fn written(expression: &str) -> Result<Patterns, String> {
    check(expression)?;
    regex(format!("^(?:{expression})$")).ok_or_else(|| {
        format!("An ALB takes regular expressions of at most {} characters.", limit::CONDITION_VALUE_LENGTH - "^(?:)$".len())
    })
}

/// AWS's engine is linear-time: no look-around, no back-references, no `\p`; what it does with inline flags is not documented, so they are refused too.
fn check(expression: &str) -> Result<(), String> {
    if !is_printable(expression) {
        return Err("An ALB's regular expressions consist of printable ASCII characters.".into());
    }
    let mut rest = expression;
    while let Some(at) = rest.find("(?") {
        rest = rest.get(at + 2..).unwrap_or_default();
        if !(rest.starts_with(':')
            || rest.starts_with("P<")
            || (rest.starts_with('<') && !rest.starts_with("<=") && !rest.starts_with("<!")))
        {
            return Err("An ALB's regular expressions have no look-around and no inline flags.".into());
        }
    }
    regex::bytes::RegexBuilder::new(expression).unicode(false).build().map(drop).map_err(|error| {
        let reason = error.to_string();
        let line = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("The expression is not one that an ALB can evaluate: {line}.")
    })
}

/// AWS: characters of a plain path value. `*` and `?` are allowed too, but as wildcards; `&` is written in an unclear way.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.$/~@:+'".contains(&b))
}

pub(crate) fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: Option<Patterns>, text: &str) -> bool {
        match patterns.unwrap() {
            Patterns::RegexValues(values) => values.iter().any(|v| regex::Regex::new(v).unwrap().is_match(text)),
            Patterns::Values(values) => values.iter().any(|v| {
                let glob = v.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
                regex::Regex::new(&format!("^{glob}$")).unwrap().is_match(text)
            }),
        }
    }

    #[test]
    fn hostnames_match_with_any_port_and_wildcards_any_depth() {
        let exact = Hostname::new("very.specific.com").unwrap();
        let wildcard = Hostname::new("*.example.com").unwrap();
        for (host, text, expected) in [
            (&exact, "very.specific.com", true),
            (&exact, "very.specific.com:1234", true),
            (&exact, "veryxspecific.com", false),
            (&exact, "very.specific.com.evil.org", false),
            (&wildcard, "a.b.example.com:80", true),
            (&wildcard, "example.com", false),
            (&wildcard, ".example.com", false),
        ] {
            assert_eq!(matches(hostname(host), text), expected, "{host} {text}");
        }
    }

    #[test]
    fn what_was_escaped_is_read_back() {
        for text in ["/a.b", r"/a\*b?(c)|[d]{e}^$", "/plain"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        for expression in ["a.b", "a|b", r"\d", "(a)", "a\\"] {
            assert_eq!(unescape(expression), None, "{expression}");
        }
    }

    #[test]
    fn prefixes_end_at_path_elements_in_both_forms() {
        for values in [1, 2] {
            for (text, expected) in [("/foo", true), ("/foo/", true), ("/foo/bar", true), ("/foobar", false), ("/Foo", false), ("/", false)]
            {
                assert_eq!(matches(path_prefix("/foo", values), text), expected, "{values} {text}");
            }
        }
    }

    #[test]
    fn wildcard_characters_are_no_wildcards() {
        assert_eq!(exact_path("/a*b?"), Some(Patterns::RegexValues(vec![r"^/a\*b\?$".into()])));
        assert_eq!(path_prefix("/a,b", 2), Some(Patterns::RegexValues(vec!["^/a,b(/.*)?$".into()])));
        assert_eq!(exact_path("/ä"), None);
    }

    #[test]
    fn expressions_beyond_a_linear_engine_are_refused() {
        for text in ["(?=a)", "(?<!a)b", r"(a)\1", "(?i)a", r"\pL", "(", "ü"] {
            assert!(written(text).is_err(), "{text}");
        }
        assert_eq!(written("/v[0-9]+/items"), Ok(Patterns::RegexValues(vec!["^(?:/v[0-9]+/items)$".into()])));
        assert!(written(&"a".repeat(123)).is_err());
    }
}
