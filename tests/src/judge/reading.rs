//! What the Gateway API leaves open: each reading of it is as right as the others.

use std::borrow::Cow;

/// One way to read what is left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// Percent-encodings in paths that are compared.
    pub path: Encoding,
    /// Percent-encodings in query parameters that are compared.
    pub query: Encoding,
    /// Query parameters that a request repeats: "purposely left undefined" (HTTPQueryParamMatch.Name).
    pub repeated: Repeated,
    /// The slash at the end of what replaces a whole path: the table of ReplacePrefixMatch has no row for `/foo`, `/foo`, `/xyz/`.
    pub slash: Slash,
}

impl Reading {
    /// All of them, the plainest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let encodings = [Encoding::Raw, Encoding::Decoded];
        let encodings = encodings.into_iter().flat_map(move |path| encodings.into_iter().map(move |query| (path, query)));
        encodings.flat_map(|(path, query)| {
            [Repeated::First, Repeated::Any]
                .into_iter()
                .flat_map(move |repeated| [Slash::Kept, Slash::Dropped].into_iter().map(move |slash| Self { path, query, repeated, slash }))
        })
    }
}

/// Whether percent-encodings are decoded before comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// The request's own characters are compared.
    #[default]
    Raw,
    /// RFC 3986, 6.2.2.2: what needs no encoding is compared without it.
    Decoded,
}

impl Encoding {
    /// A path, as it is compared. An encoded slash stays encoded: it separates nothing.
    pub fn of_path(self, text: &str) -> Cow<'_, str> {
        self.of(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    }

    /// A name or a value in a query, as it is compared.
    pub fn of_query(self, text: &str) -> Cow<'_, str> {
        self.of(text, |byte| byte.is_ascii_graphic() || byte == b' ')
    }

    fn of(self, text: &str, decoded: impl Fn(u8) -> bool) -> Cow<'_, str> {
        if self == Self::Raw || !text.contains('%') {
            return Cow::Borrowed(text);
        }
        let mut parts = text.split('%');
        let mut found = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| decoded(*byte));
            match byte {
                Some(byte) => {
                    found.push(char::from(byte));
                    found.push_str(part.get(2..).unwrap_or_default());
                }
                None => {
                    found.push('%');
                    found.push_str(part);
                }
            }
        }
        Cow::Owned(found)
    }
}

/// Which of a repeated query parameter's values counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeated {
    /// The first, as the Gateway API recommends.
    #[default]
    First,
    /// Any.
    Any,
}

/// What becomes of the slash at the end of a replacement when nothing follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slash {
    /// It stays.
    #[default]
    Kept,
    /// It goes.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_no_encoding_is_decoded() {
        for (text, path, query) in [
            ("/a%62", "/ab", "/ab"),
            ("/a%2Fb", "/a%2Fb", "/a/b"),
            ("/%", "/%", "/%"),
            ("/%zz", "/%zz", "/%zz"),
            ("/a%20b", "/a%20b", "/a b"),
        ] {
            assert_eq!(Encoding::Decoded.of_path(text), path);
            assert_eq!(Encoding::Decoded.of_query(text), query);
            assert_eq!(Encoding::Raw.of_path(text), text);
        }
    }
}
