//! What the lab says while it works: on standard error, one line per step; in a terminal the running step counts its
//! seconds on its own line, in a pipe it is announced and then closed.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Says something by the way.
pub fn note(text: &str) {
    anstream::eprintln!("{QUIET}lab:{QUIET:#} {text}");
}

/// Says that something went well.
pub fn good(text: &str) {
    anstream::eprintln!("{GOOD}✓{GOOD:#} {text}");
}

/// Says that something went wrong.
pub fn bad(text: &str) {
    anstream::eprintln!("{BAD}✗{BAD:#} {text}");
}

const PASSED: &str = "✓ ";
const FAILED: &str = "✗ ";

/// Prints the outcome of a test on standard output: it is what the command is there for, and may be read by [`verdict_of`].
pub fn verdict(well: bool, text: &str) {
    let (style, mark) = if well { (GOOD, PASSED) } else { (BAD, FAILED) };
    anstream::println!("{style}{mark}{style:#}{text}");
}

/// Reads a line of [`verdict`] that came through a pipe.
pub fn verdict_of(line: &str) -> Option<(bool, &str)> {
    line.strip_prefix(PASSED).map(|text| (true, text)).or_else(|| line.strip_prefix(FAILED).map(|text| (false, text)))
}

/// Prints an error with its chain of causes.
pub fn error(error: &anyhow::Error) {
    anstream::eprintln!("{BAD}error:{BAD:#} {error:#}");
}

/// A duration as people read it: `340 ms`, `4.2 s`, `6 min 12 s`.
pub fn human(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A step that takes a while. Close it with [`Step::done`]; a step dropped unclosed failed.
pub struct Step {
    text: String,
    start: Instant,
    ticker: Option<Ticker>,
    closed: bool,
}

impl Step {
    /// Starts a step; `hint` says what to expect of it (`about 6 min the first time`), or is empty.
    pub fn start(text: impl Into<String>, hint: &str) -> Self {
        let text = text.into();
        let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
        let ticker = if std::io::stderr().is_terminal() {
            Some(Ticker::start(format!("{text}{hint}")))
        } else {
            anstream::eprintln!("{QUIET}…{QUIET:#} {text}{hint}");
            None
        };
        Self { text, start: Instant::now(), ticker, closed: false }
    }

    /// Closes the step as well done, and says how long it took.
    pub fn done(mut self) {
        self.close(true, "");
    }

    /// Closes the step with a remark (`17 passed`).
    pub fn done_with(mut self, remark: &str) {
        self.close(true, remark);
    }

    fn close(&mut self, well: bool, remark: &str) {
        drop(self.ticker.take());
        self.closed = true;
        let remark = if remark.is_empty() { String::new() } else { format!(": {remark}") };
        let line = format!("{}{remark} {QUIET}({}){QUIET:#}", self.text, human(self.start.elapsed()));
        if well { good(&line) } else { bad(&line) }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.closed {
            self.close(false, "failed");
        }
    }
}

/// Redraws a step's line once a second until dropped.
struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// One line is redrawn at a time: a second ticker (a step inside a step) stays silent.
static DRAWING: AtomicBool = AtomicBool::new(false);

impl Ticker {
    fn start(text: String) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        if DRAWING.swap(true, Ordering::AcqRel) {
            return Self { stop, thread: None };
        }
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let (flag, signal) = &*seen;
            let mut stopped = flag.lock().unwrap_or_else(PoisonError::into_inner);
            while !*stopped {
                anstream::eprint!("\r\x1b[2K{QUIET}… {text} {}{QUIET:#}", human(start.elapsed()));
                let _ = std::io::stderr().flush();
                (stopped, _) = signal.wait_timeout(stopped, Duration::from_secs(1)).unwrap_or_else(PoisonError::into_inner);
            }
            anstream::eprint!("\r\x1b[2K");
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let (flag, signal) = &*self.stop;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        signal.notify_all();
        if let Some(thread) = self.thread.take() {
            // The only failure is a panic of the ticker, which has printed itself.
            let _ = thread.join();
            DRAWING.store(false, Ordering::Release);
        }
    }
}
