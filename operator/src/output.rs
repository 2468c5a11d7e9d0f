//! What commands print on standard output: styled on a terminal, plain in a pipe.

use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Context;

/// Something appears.
pub const CREATE: Style = AnsiColor::Green.on_default();
/// Something changes.
pub const UPDATE: Style = AnsiColor::Yellow.on_default();
/// Something goes, or is wrong.
pub const DELETE: Style = AnsiColor::Red.on_default();
/// A heading.
pub const HEADING: Style = Style::new().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();

/// A text in a style.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a text as it is. A reader that has gone (`| head`) is no error: the command ends quietly, as others do.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a line.
pub fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

/// The columns of the terminal that standard output is; `None` in a pipe.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)).filter(|width| *width >= 40)
}

/// `1 rule`, `2 rules`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// An error with its causes, each said once, on one line.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("disk full").context("cannot write x: disk full").context("cannot save");
        assert_eq!(explain(&error), "cannot save: cannot write x: disk full");
    }
}
