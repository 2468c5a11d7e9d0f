//! Regular expressions as Envoy reads them: RE2. One that RE2 refuses would make proxies refuse the whole route configuration that it stands in, so that everything not
//! known to be fine is refused here, on the rule. The syntaxes of RE2 and of Rust's `regex` are nearly the same; where they differ, a pattern is refused.

use regex::RegexBuilder;
use std::iter::Peekable;
use std::str::Chars;

/// RE2: `kMaxRepeat`, for one repetition and for nested ones together.
const LONGEST_REPETITION: u64 = 1000;
/// Unicode classes are large programs: RE2 gives a pattern 8 MiB, of which the compiled program may have two thirds.
const MOST_UNICODE_CLASSES: u64 = 100;
/// Unicode classes that both know by the same name.
const UNICODE_CLASSES: &[&str] = &[
    "C",
    "Cc",
    "Cf",
    "Co",
    "L",
    "Ll",
    "Lm",
    "Lo",
    "Lt",
    "Lu",
    "M",
    "Mc",
    "Me",
    "Mn",
    "N",
    "Nd",
    "Nl",
    "No",
    "P",
    "Pc",
    "Pd",
    "Pe",
    "Pf",
    "Pi",
    "Po",
    "Ps",
    "S",
    "Sc",
    "Sk",
    "Sm",
    "So",
    "Z",
    "Zl",
    "Zp",
    "Zs",
    "Arabic",
    "Armenian",
    "Bengali",
    "Cyrillic",
    "Devanagari",
    "Georgian",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Thai",
];

/// Says what of a pattern RE2 would not take.
///
/// # Errors
/// What is wrong, for the person who wrote it.
pub fn check(pattern: &str) -> Result<(), String> {
    if let Err(error) = RegexBuilder::new(pattern).build() {
        let text = error.to_string();
        // The last line of a syntax error says what is wrong; those before it show where.
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return Err(last);
    }
    let mut scan = Scan { rest: pattern.chars().peekable(), unicode_classes: 0 };
    let product = scan.alternatives(0)?;
    if product > LONGEST_REPETITION {
        return Err(format!("nested repetitions of more than {LONGEST_REPETITION} in all"));
    }
    if scan.unicode_classes.saturating_mul(product.max(1)) > MOST_UNICODE_CLASSES {
        return Err("too many Unicode classes".to_owned());
    }
    Ok(())
}

/// A text as a pattern that matches it and nothing else.
pub fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation()
            && !matches!(c, '/' | '_' | '-' | '%' | '=' | '@' | ':' | ';' | ',' | '\'' | '"' | '<' | '>' | '&' | '~' | '!' | '#' | '`')
        {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Walks over a pattern whose syntax is fine for `regex`.
struct Scan<'a> {
    rest: Peekable<Chars<'a>>,
    unicode_classes: u64,
}

impl Scan<'_> {
    /// Up to the end, or to the parenthesis that closes. Returns the largest product of nested repetitions.
    fn alternatives(&mut self, depth: u32) -> Result<u64, String> {
        if depth > 200 {
            return Err("groups nested too deeply".to_owned());
        }
        let mut largest = 1;
        while let Some(c) = self.rest.next() {
            let inner = match c {
                ')' => return Ok(largest),
                '(' => {
                    if self.group()? {
                        continue;
                    }
                    self.alternatives(depth + 1)?
                }
                '[' => {
                    self.class()?;
                    1
                }
                '\\' => {
                    self.escaped()?;
                    1
                }
                _ => 1,
            };
            largest = largest.max(inner.saturating_mul(self.repetition()?));
        }
        Ok(largest)
    }

    /// What follows an opening parenthesis. Whether that was flags only, which are no group.
    fn group(&mut self) -> Result<bool, String> {
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(false);
        }
        if self.rest.next_if_eq(&'P').is_some() || self.rest.peek() == Some(&'<') {
            while self.rest.next_if(|c| *c != '>').is_some() {}
            self.rest.next();
            return Ok(false);
        }
        loop {
            match self.rest.next() {
                Some('i' | 'm' | 's' | 'U' | '-') => {}
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                Some(other) => return Err(format!("the flag {other:?} of a group")),
                None => return Ok(true),
            }
        }
    }

    fn class(&mut self) -> Result<(), String> {
        self.rest.next_if_eq(&'^');
        let mut first = true;
        while let Some(c) = self.rest.next() {
            match c {
                ']' if !first => return Ok(()),
                '[' if self.rest.peek() == Some(&':') => {
                    while self.rest.next_if(|c| *c != ']').is_some() {}
                    self.rest.next();
                }
                '[' => return Err("`[` within a class; write `\\[`".to_owned()),
                '&' | '~' if self.rest.peek() == Some(&c) => return Err(format!("`{c}{c}` within a class")),
                '-' if self.rest.peek() == Some(&'-') => return Err("`--` within a class".to_owned()),
                '\\' => self.escaped()?,
                _ => {}
            }
            first = false;
        }
        Ok(())
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some(c @ ('u' | 'U' | '<' | '>')) => Err(format!("`\\{c}`")),
            Some('b' | 'B') if self.rest.peek() == Some(&'{') => Err("`\\b{`".to_owned()),
            Some('p' | 'P') => {
                self.unicode_classes += 1;
                let mut name = String::new();
                if self.rest.next_if_eq(&'{').is_some() {
                    self.rest.next_if_eq(&'^');
                    while let Some(c) = self.rest.next_if(|c| *c != '}') {
                        name.push(c);
                    }
                    self.rest.next();
                } else {
                    name.extend(self.rest.next());
                }
                if UNICODE_CLASSES.contains(&name.as_str()) { Ok(()) } else { Err(format!("the Unicode class {name:?}")) }
            }
            Some('x') => {
                if self.rest.next_if_eq(&'{').is_some() {
                    while self.rest.next_if(|c| *c != '}').is_some() {}
                    self.rest.next();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The repetition after an expression, as its factor.
    fn repetition(&mut self) -> Result<u64, String> {
        let factor = match self.rest.peek() {
            Some('*' | '+' | '?') => {
                self.rest.next();
                1
            }
            Some('{') => {
                self.rest.next();
                let mut text = String::new();
                while let Some(c) = self.rest.next_if(|c| *c != '}') {
                    text.push(c);
                }
                self.rest.next();
                let numbers: Vec<Option<u64>> = text.split(',').map(|number| number.parse().ok()).collect();
                let (Some(Some(least)), rest) = (numbers.first(), numbers.get(1)) else { return Err(format!("`{{{text}}}`")) };
                if rest == Some(&None) && !text.ends_with(',') {
                    return Err(format!("`{{{text}}}`"));
                }
                let most = rest.copied().flatten().unwrap_or(*least).max(*least);
                if most > LONGEST_REPETITION {
                    return Err(format!("more than {LONGEST_REPETITION} repetitions"));
                }
                most.max(1)
            }
            _ => return Ok(1),
        };
        self.rest.next_if_eq(&'?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
            return Err("one repetition right after another".to_owned());
        }
        Ok(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_both_read_alike_are_fine() {
        for pattern in [
            "",
            "/v[0-9]+/.*",
            "(?i)ab?c*?d+",
            "(?P<name>a|b){2,5}",
            r"\d+\.\w*\x{263a}\x41",
            r"[]a-z\]^[:alpha:]-]+",
            r"\p{Greek}\pL[^\p{Lu}]",
            "(?:a{10}){100}",
            r"(?i:x)(?s-m:y)\bz\B",
            "a{3,}",
            "a|b|",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_or_reads_otherwise_is_refused() {
        for pattern in [
            "(",
            "a**",
            "a{2}{3}",
            "a{1001}",
            "(a{100}){11}",
            "(?=a)",
            r"(a)\1",
            "[a&&b]",
            "[a[b]]",
            r"\u{41}",
            "(?x)a",
            r"\p{Alphabetic}",
            r"\b{start}a",
            r"\<a",
            r"\p{Latin}{200}",
            "a{,5}",
        ] {
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn escaped_texts_match_themselves() {
        let text = r"/a.b/c+d(e)[f]{g}^h$i|j\k*l?m~n&o#p";
        assert_eq!(check(&escape(text)), Ok(()));
        assert!(regex::Regex::new(&format!("^(?:{})$", escape(text))).unwrap().is_match(text));
    }
}
