//! Globs and regular expressions as listener rules use them.

use regex::bytes::{Regex, RegexBuilder};

/// A compiled glob that must cover the whole text: `*` is any run of bytes, `?` exactly one.
#[derive(Debug)]
pub(super) struct Glob {
    tokens: Box<[Token]>,
    ignore_case: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Run,
    One,
    Byte(u8),
}

/// What a backslash means in a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// An ordinary byte (host-header and path-pattern).
    None,
    /// Before `*`, `?` and `\` it makes them ordinary (http-header and query-string).
    Backslash,
}

impl Glob {
    pub(super) fn new(pattern: &str, ignore_case: bool, escapes: Escapes) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut bytes = pattern.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let token = match byte {
                b'*' => Token::Run,
                b'?' => Token::One,
                b'\\' if escapes == Escapes::Backslash => {
                    Token::Byte(bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\')).unwrap_or(b'\\'))
                }
                other => Token::Byte(if ignore_case { other.to_ascii_lowercase() } else { other }),
            };
            // `**` says no more than `*`.
            if token != Token::Run || tokens.last() != Some(&Token::Run) {
                tokens.push(token);
            }
        }
        Self { tokens: tokens.into(), ignore_case }
    }

    /// Whether the glob covers the whole text. Time is at most proportional to the product of both lengths.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        // Where to resume when a later byte does not fit: behind the latest `*`, one byte further on.
        let mut resume: Option<(usize, usize)> = None;
        loop {
            match (self.tokens.get(token), text.get(at)) {
                (Some(Token::Run), _) => {
                    resume = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                (Some(Token::One), Some(_)) => {
                    token += 1;
                    at += 1;
                    continue;
                }
                (Some(Token::Byte(wanted)), Some(byte)) => {
                    let byte = if self.ignore_case { byte.to_ascii_lowercase() } else { *byte };
                    if byte == *wanted {
                        token += 1;
                        at += 1;
                        continue;
                    }
                }
                (None, None) => return true,
                _ => {}
            }
            match resume {
                Some((behind, start)) if start < text.len() => {
                    resume = Some((behind, start + 1));
                    token = behind;
                    at = start + 1;
                }
                _ => return false,
            }
        }
    }
}

/// Compiles a regular expression of a rule: a linear-time engine without look-around, back-references or Unicode classes.
///
/// # Errors
///
/// The engine's explanation when it is not valid.
pub(super) fn compile_regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).build()
}

/// Says whether the data plane can run a regular expression of a condition or a transform.
///
/// # Errors
///
/// A one-line explanation when it cannot.
pub fn check_regex(pattern: &str) -> Result<(), String> {
    match compile_regex(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_cover_the_whole_text() {
        // (pattern, text, matches)
        let rows: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "A", false),
            ("*", "", true),
            ("*", "anything/at?all", true),
            ("?", "", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a**b", "ab", true),
            ("a?c", "abc", true),
            ("*aab", "aaaab", true),
            ("a*?", "a", false),
            ("a*?", "ab", true),
            (r"a\*", r"a\b", true),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(Glob::new(pattern, false, Escapes::None).matches(text.as_bytes()), *expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn backslash_makes_wildcards_ordinary() {
        let rows: &[(&str, &str, bool)] = &[
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a\?", "a?", true),
            (r"a\?", "ab", false),
            (r"a\\b", r"a\b", true),
            (r"a\b", r"a\b", true),
            (r"a\", r"a\", true),
            (r"\**", "*abc", true),
            (r"\**", "abc", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(Glob::new(pattern, true, Escapes::Backslash).matches(text.as_bytes()), *expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_hostile_glob_ends() {
        let glob = Glob::new(&"*a".repeat(60), false, Escapes::None);
        assert!(!glob.matches("a".repeat(50).as_bytes()));
        assert!(!glob.matches("b".repeat(16 * 1024).as_bytes()));
    }

    #[test]
    fn what_aws_does_not_support_does_not_compile() {
        for pattern in ["(?=a)b", "(?<!a)b", r"(a)\1", "(?>a)", r"\p{L}", "(", "a{2,1}"] {
            assert!(check_regex(pattern).is_err(), "{pattern}");
        }
        for pattern in ["^/foo(/.*)?$", r"^very\.specific\.com(:[0-9]+)?$", "(?:a|b)+?", r"\d{3}"] {
            assert_eq!(check_regex(pattern), Ok(()), "{pattern}");
        }
    }
}
