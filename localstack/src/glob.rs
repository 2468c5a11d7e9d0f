//! Wildcards as EC2 filters have them: `*` for any run of characters, `?` for one, `\` before a literal one.

/// Whether the whole text matches the pattern, case-sensitively.
pub fn matches(pattern: &str, text: &str) -> bool {
    let tokens = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    // Greedy matching with one point of return: linear in practice, and no recursion.
    let (mut token, mut at, mut star) = (0, 0, None);
    while at < text.len() {
        match (tokens.get(token), text.get(at)) {
            (Some(Token::Any), _) => {
                star = Some((token, at));
                token += 1;
            }
            (Some(Token::One), _) => (token, at) = (token + 1, at + 1),
            (Some(Token::Literal(expected)), Some(found)) if expected == found => (token, at) = (token + 1, at + 1),
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    (token, at) = (back + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens.iter().skip(token).all(|token| matches!(token, Token::Any))
}

enum Token {
    Any,
    One,
    Literal(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Literal(letters.next().unwrap_or('\\')),
            other => Token::Literal(other),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn wildcards() {
        let rows = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*", "xxaxxbxx", true),
            ("A", "a", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(super::matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
