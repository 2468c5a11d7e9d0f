//! This program's own file. A lab outlives builds: cargo may replace the file while processes of a lab are still to be
//! started from it, so whoever starts some later holds on to the file that it was itself started from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::netns::STATE_DIR;

/// Name of the file, wherever it is: a lab's first process is known by it.
pub const NAME: &str = "lab";

static KEPT: OnceLock<PathBuf> = OnceLock::new();

/// Where to start this program from.
pub fn path() -> Result<PathBuf> {
    match KEPT.get() {
        Some(kept) => Ok(kept.clone()),
        None => std::env::current_exe().context("cannot find our own program"),
    }
}

/// Where the program is inside a lab.
pub fn path_inside() -> PathBuf {
    Path::new(STATE_DIR).join(NAME)
}

/// Shows the program inside the lab's namespaces at [`path_inside`], however its file fares.
pub fn show_inside() -> Result<()> {
    let (own, inside) = (path()?, path_inside());
    fs::write(&inside, "").with_context(|| format!("cannot make {}", inside.display()))?;
    mount(Some(&own), &inside, None::<&str>, MsFlags::MS_BIND, None::<&str>).with_context(|| format!("cannot mount {}", inside.display()))
}

/// Holds on to the program's file in that folder for as long as the value lives: a further name for it, or a copy.
pub struct Kept(PathBuf);

/// Holds on to the program's file; [`path`] then names it.
pub fn keep(folder: &Path) -> Result<Kept> {
    let own = path()?;
    let folder = folder.join("program");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let kept = folder.join(NAME);
    if fs::hard_link(&own, &kept).is_err() {
        fs::copy(&own, &kept).with_context(|| format!("cannot copy {}", own.display()))?;
    }
    let kept = KEPT.get_or_init(|| kept);
    Ok(Kept(kept.clone()))
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Left behind, it is removed with the run's logs.
        let _ = fs::remove_file(&self.0);
        if let Some(folder) = self.0.parent() {
            let _ = fs::remove_dir(folder);
        }
    }
}
