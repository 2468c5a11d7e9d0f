//! Container logs: written line by line in the format of container runtimes, read as `kubectl logs` asks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, watch};

/// The longest line that is kept whole; a longer one is continued on the next.
const LINE_LIMIT: u64 = 256 * 1024;

/// Size in bytes at which a log is put aside and a new one begun; one log that was put aside is kept. (Kubernetes: 10 MiB, 5 files.)
const SIZE_LIMIT: u64 = 32 * 1024 * 1024;

/// The log of one run of a container.
#[derive(Debug)]
pub struct Log {
    /// The file. Every line is `TIME STREAM F TEXT`.
    pub path: PathBuf,
    size_limit: u64,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// How often the file was put aside.
    turns: u64,
    length: u64,
    closed: bool,
}

impl Log {
    /// Makes the file.
    pub async fn create(path: PathBuf) -> std::io::Result<Self> {
        Self::with_limit(path, SIZE_LIMIT).await
    }

    async fn with_limit(path: PathBuf, size_limit: u64) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::File::create(&path).await?;
        Ok(Self { path, size_limit, state: watch::Sender::new(State { turns: 0, length: 0, closed: false }) })
    }

    /// Writes both output streams of a container until both end.
    pub async fn write(&self, stdout: impl AsyncRead + Unpin, stderr: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let mut file = tokio::fs::OpenOptions::new().append(true).open(&self.path).await?;
        let (sender, mut lines) = mpsc::channel::<Vec<u8>>(256);
        let copy = async {
            tokio::join!(split(stdout, "stdout", sender.clone()), split(stderr, "stderr", sender.clone()));
            drop(sender);
        };
        let write = async {
            while let Some(mut batch) = lines.recv().await {
                while let Ok(more) = lines.try_recv() {
                    batch.extend_from_slice(&more);
                }
                file.write_all(&batch).await?;
                file.flush().await?;
                self.state.send_modify(|state| state.length += batch.len() as u64);
                if self.state.borrow().length >= self.size_limit {
                    tokio::fs::rename(&self.path, self.path.with_extension("log.1")).await?;
                    file = tokio::fs::File::create(&self.path).await?;
                    self.state.send_modify(|state| (state.turns, state.length) = (state.turns + 1, 0));
                }
            }
            Ok(())
        };
        let (written, ()) = tokio::join!(write, copy);
        written
    }

    /// Says that nothing more will come.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
    }

    /// Sends what the query asks for, in pieces; with `follow` until the log is closed or nobody listens.
    pub async fn read(&self, query: &Query, out: mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
        let mut state = self.state.subscribe();
        let mut file = tokio::fs::File::open(&self.path).await?;
        let first = *state.borrow_and_update();
        let mut buffer = Vec::new();
        (&mut file).take(first.length).read_to_end(&mut buffer).await?;
        let mut filter = Filter::new(query);
        if out.send(filter.select(&buffer, query.tail_lines)).await.is_err() || !query.follow {
            return Ok(());
        }
        let (mut position, mut now, mut turns) = (first.length, first, first.turns);
        loop {
            // What was put aside is read to its end through the open file; of what came between, nothing is left.
            let length = if now.turns == turns { now.length } else { u64::MAX };
            if length > position {
                buffer.clear();
                file.seek(std::io::SeekFrom::Start(position)).await?;
                (&mut file).take(length - position).read_to_end(&mut buffer).await?;
                position = length;
                if out.send(filter.select(&buffer, None)).await.is_err() {
                    return Ok(());
                }
            }
            if now.turns != turns {
                (turns, position) = (now.turns, 0);
                file = tokio::fs::File::open(&self.path).await?;
                continue;
            }
            if now.closed || filter.is_full() {
                return Ok(());
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return Ok(()) },
                () = out.closed() => return Ok(()),
            }
            now = *state.borrow_and_update();
        }
    }

    /// The last lines' text, for a termination message.
    pub async fn tail(&self, lines: usize, bytes: usize) -> String {
        let content = tokio::fs::read(&self.path).await.unwrap_or_default();
        let text = Filter::new(&Query::default()).select(&content, Some(lines));
        let start = text.len().saturating_sub(bytes);
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
    }
}

async fn split(stream: impl AsyncRead + Unpin, name: &str, lines: mpsc::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Bounded, so that a program that never ends its line costs no memory.
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let mut entry = format!("{:.9} {name} F ", Timestamp::now()).into_bytes();
        entry.extend_from_slice(&line);
        entry.push(b'\n');
        if lines.send(entry).await.is_err() {
            return;
        }
    }
}

/// What `kubectl logs` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Stay until the container ends.
    pub follow: bool,
    /// Only as many lines from the end.
    pub tail_lines: Option<usize>,
    /// Only lines of this time and later.
    pub since: Option<Timestamp>,
    /// Put the time in front of each line.
    pub timestamps: bool,
    /// The log of the run before this one.
    pub previous: bool,
    /// At most as many bytes.
    pub limit_bytes: Option<usize>,
    /// Only this stream, `Stdout` or `Stderr`; anything else is both.
    pub stream: Option<String>,
}

impl Query {
    /// Reads the parameters of the kubelet's `/containerLogs`.
    pub fn parse(pairs: impl Iterator<Item = (String, String)>, now: Timestamp) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let invalid = || format!("invalid value for {name}: {value:?}");
            match name.as_str() {
                "follow" => query.follow = value != "false",
                "timestamps" => query.timestamps = value != "false",
                "previous" => query.previous = value != "false",
                "tailLines" => query.tail_lines = Some(value.parse().map_err(|_| invalid())?),
                "limitBytes" => query.limit_bytes = Some(value.parse().map_err(|_| invalid())?),
                "sinceTime" => query.since = Some(value.parse().map_err(|_| invalid())?),
                "sinceSeconds" => {
                    let seconds: i64 = value.parse().map_err(|_| invalid())?;
                    query.since = now.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok();
                }
                "stream" => query.stream = Some(value),
                _ => {}
            }
        }
        Ok(query)
    }
}

/// Turns log entries into what the query wants to see.
struct Filter<'a> {
    query: &'a Query,
    left: usize,
}

impl<'a> Filter<'a> {
    fn new(query: &'a Query) -> Self {
        Self { query, left: query.limit_bytes.unwrap_or(usize::MAX) }
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    fn select(&mut self, entries: &[u8], tail: Option<usize>) -> Vec<u8> {
        let lines: Vec<(&[u8], &[u8])> = entries.split_inclusive(|byte| *byte == b'\n').filter_map(|entry| self.wanted(entry)).collect();
        let skip = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let mut out = Vec::new();
        for (time, text) in lines.into_iter().skip(skip) {
            if self.query.timestamps {
                out.extend_from_slice(time);
                out.push(b' ');
            }
            out.extend_from_slice(text);
        }
        out.truncate(self.left);
        self.left -= out.len();
        out
    }

    /// Time and text of an entry that the query asks for.
    fn wanted<'e>(&self, entry: &'e [u8]) -> Option<(&'e [u8], &'e [u8])> {
        let mut parts = entry.splitn(4, |byte| *byte == b' ');
        let (time, stream, _, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if let Some(since) = self.query.since {
            let written: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
            if written < since {
                return None;
            }
        }
        match self.query.stream.as_deref() {
            Some("Stdout") if stream != b"stdout" => None,
            Some("Stderr") if stream != b"stderr" => None,
            _ => Some((time, text)),
        }
    }
}

/// Namespace, pod and container.
type ContainerKey = (String, String, String);

/// The logs of every container that ran, by namespace, pod and container.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    runs: Arc<Mutex<HashMap<ContainerKey, Runs>>>,
}

#[derive(Debug, Clone, Default)]
struct Runs {
    current: Option<Arc<Log>>,
    previous: Option<Arc<Log>>,
}

impl Logs {
    /// Adds the log of a new run of a container.
    pub fn add(&self, namespace: &str, pod: &str, container: &str, log: Arc<Log>) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = runs.entry(key).or_default();
        entry.previous = entry.current.replace(log);
    }

    /// Forgets a pod's logs; a pod of the same name may come.
    pub fn forget(&self, namespace: &str, pod: &str, folder: &Path) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|(of_namespace, of_pod, _), runs| {
            let its = runs.current.as_ref().is_some_and(|log| log.path.starts_with(folder));
            !(of_namespace == namespace && of_pod == pod && its)
        });
    }

    /// The log of the running or last run, or of the one before.
    pub fn find(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<Arc<Log>> {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = runs.get(&key)?;
        if previous { entry.previous.clone() } else { entry.current.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRIES: &str = "2026-11-21T10:00:00.000000001Z stdout F one\n\
                           2026-11-21T10:00:01Z stderr F two  words \n\
                           2026-11-21T10:00:02Z stdout F \n\
                           2026-11-21T10:00:03Z stdout F four\n";

    fn select(query: &str) -> String {
        let now = "2026-11-21T10:00:03.5Z".parse().unwrap();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let query = Query::parse(pairs, now).unwrap();
        String::from_utf8(Filter::new(&query).select(ENTRIES.as_bytes(), query.tail_lines)).unwrap()
    }

    #[test]
    fn lines_are_chosen_as_asked() {
        assert_eq!(select(""), "one\ntwo  words \n\nfour\n");
        assert_eq!(select("tailLines=2"), "\nfour\n");
        assert_eq!(select("tailLines=0"), "");
        assert_eq!(select("sinceTime=2026-11-21T10:00:01Z&tailLines=9"), "two  words \n\nfour\n");
        assert_eq!(select("sinceSeconds=1"), "four\n");
        assert_eq!(select("timestamps=true&tailLines=1"), "2026-11-21T10:00:03Z four\n");
        assert_eq!(select("stream=Stderr"), "two  words \n");
        assert_eq!(select("limitBytes=6"), "one\ntw");
    }

    #[test]
    fn a_bad_parameter_is_named() {
        let pairs = [("tailLines".to_owned(), "many".to_owned())];
        assert_eq!(Query::parse(pairs.into_iter(), Timestamp::UNIX_EPOCH), Err("invalid value for tailLines: \"many\"".to_owned()));
    }

    #[tokio::test]
    async fn a_follower_sees_every_line_and_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::create(folder.path().join("0.log")).await.unwrap());
        let (sender, mut pieces) = mpsc::channel(8);
        let query = Query { follow: true, ..Query::default() };
        let reader = {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.read(&query, sender).await })
        };
        let (mut ours, theirs) = tokio::io::duplex(64);
        let writer = {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.write(theirs, tokio::io::empty()).await })
        };
        ours.write_all(b"hello\nwor").await.unwrap();
        let mut seen = String::new();
        while !seen.contains("hello") {
            seen.push_str(std::str::from_utf8(&pieces.recv().await.unwrap()).unwrap());
        }
        ours.write_all(b"ld\nno newline at the end").await.unwrap();
        drop(ours);
        writer.await.unwrap().unwrap();
        log.close();
        while let Some(piece) = pieces.recv().await {
            seen.push_str(std::str::from_utf8(&piece).unwrap());
        }
        reader.await.unwrap().unwrap();
        assert_eq!(seen, "hello\nworld\nno newline at the end\n");
    }

    #[tokio::test]
    async fn a_log_that_has_grown_is_put_aside_and_its_follower_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::with_limit(folder.path().join("0.log"), 100).await.unwrap();
        let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(64);
        let query = Query { follow: true, ..Query::default() };
        let (mut ours, theirs) = tokio::io::duplex(64);
        let talk = async {
            let mut seen = String::new();
            for number in 0..20 {
                let line = format!("line {number}\n");
                ours.write_all(line.as_bytes()).await.unwrap();
                while !seen.ends_with(&line) {
                    seen.push_str(std::str::from_utf8(&pieces.recv().await.unwrap()).unwrap());
                }
            }
            drop(ours);
            log.close();
            seen
        };
        let (seen, written, read) = tokio::join!(talk, log.write(theirs, tokio::io::empty()), log.read(&query, sender));
        written.unwrap();
        read.unwrap();
        assert_eq!(seen.lines().count(), 20, "{seen}");
        assert!(folder.path().join("0.log.1").exists());
        assert!(std::fs::metadata(&log.path).unwrap().len() < 200);
    }
}
