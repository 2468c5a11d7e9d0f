//! What test runners say at their end, as numbers.

use std::ops::AddAssign;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
}

impl Count {
    /// One test that passed or failed.
    pub fn one(well: bool) -> Self {
        if well { Self::passed() } else { Self::failed() }
    }

    /// One test that passed.
    pub fn passed() -> Self {
        Self { passed: 1, failed: 0 }
    }

    /// One test that failed.
    pub fn failed() -> Self {
        Self { passed: 0, failed: 1 }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Sums Cargo's lines `test result: ok. 12 passed; 1 failed; …`.
pub fn cargo(output: &str) -> Count {
    let mut total = Count::default();
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        total += Count { passed: number_before(line, "passed"), failed: number_before(line, "failed") };
    }
    total
}

/// Reads pytest's last line, `2 failed, 40 passed, 1 error in 3.21s`.
pub fn pytest(output: &str) -> Count {
    let last =
        output.lines().rev().find(|line| line.contains(" in ") && ["passed", "failed", "error"].iter().any(|word| line.contains(word)));
    let line = last.unwrap_or_default();
    let errors = number_before(line, "error").max(number_before(line, "errors"));
    Count { passed: number_before(line, "passed"), failed: number_before(line, "failed") + errors }
}

/// Reads our own closing line, `N passed, N failed`; none if the line is another one.
pub fn own(line: &str) -> Option<Count> {
    let (passed, failed) = line.trim().split_once(", ")?;
    Some(Count { passed: passed.strip_suffix(" passed")?.parse().ok()?, failed: failed.strip_suffix(" failed")?.parse().ok()? })
}

/// The lines that name what failed, of Cargo, of the compiler (with the place) and of pytest.
pub fn failures(output: &str) -> Vec<&str> {
    let names = |line: &&str| {
        (line.starts_with("test ") && line.ends_with("FAILED"))
            || line.starts_with("FAILED ")
            || line.starts_with("ERROR ")
            || line.starts_with("error")
            || line.trim_start().starts_with("--> ")
    };
    output.lines().filter(names).collect()
}

fn number_before(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.'])).collect();
    words.windows(2).find_map(|pair| if pair.get(1) == Some(&word) { pair.first()?.parse().ok() } else { None }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_cargo_says_of_each_crate() {
        let text = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\
                    test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                    test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 1.20s\n";
        assert_eq!(cargo(text), Count { passed: 13, failed: 1 });
        assert_eq!(failures(text), ["test b ... FAILED"]);
    }

    #[test]
    fn reads_what_pytest_says() {
        assert_eq!(pytest("....\n4 passed in 0.12s\n"), Count { passed: 4, failed: 0 });
        assert_eq!(pytest("F.\n1 failed, 3 passed, 2 errors in 3.10s\n"), Count { passed: 3, failed: 3 });
        assert_eq!(pytest("1 error in 0.10s"), Count { passed: 0, failed: 1 });
        assert_eq!(pytest("no tests ran in 0.01s"), Count::default());
    }

    #[test]
    fn reads_its_own_closing_line() {
        assert_eq!(own("7 passed, 2 failed"), Some(Count { passed: 7, failed: 2 }));
        assert_eq!(own("✓ something (1 ms)"), None);
    }
}
