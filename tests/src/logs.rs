//! The folder where a run writes what its processes say. The newest few are kept, so that a failed run can be read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache;

/// How many runs' logs are kept.
const KEPT: usize = 16;

/// Makes the folder of a new run, named by time and process id, and removes the oldest ones.
pub fn create(kind: &str) -> Result<PathBuf> {
    let parent = cache::dir()?.join("logs");
    let name = format!("{}-{kind}-{}", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S"), std::process::id());
    let dir = parent.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make the log folder {}", dir.display()))?;
    prune(&parent);
    Ok(dir)
}

/// Removes all but the newest folders and those of runs that go on. Failing to is harmless: the next run tries again.
fn prune(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    let surplus = folders.len().saturating_sub(KEPT);
    for old in folders.iter().take(surplus).filter(|folder| !is_in_use(folder)) {
        let _ = fs::remove_dir_all(old);
    }
}

/// Whether the process that a folder is named after still runs.
fn is_in_use(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.rsplit_once('-')).is_some_and(|(_, pid)| Path::new("/proc").join(pid).exists())
}

/// The last `lines` lines of a log, indented, for an error message.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_logs_stay_and_those_in_use() {
        let parent = tempfile::tempdir().unwrap();
        let own = format!("20200101-000000-test-{}", std::process::id());
        let ended: Vec<String> = (1..=KEPT).map(|day| format!("202101{day:02}-000000-test-{}", u32::MAX)).collect();
        for name in std::iter::once(&own).chain(&ended) {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        prune(parent.path());
        assert!(parent.path().join(&own).exists(), "its run goes on");
        fs::create_dir(parent.path().join("20220101-000000-test-0")).unwrap();
        prune(parent.path());
        assert!(!parent.path().join(&ended[0]).exists());
        assert!(parent.path().join(&ended[KEPT - 1]).exists());
    }
}
