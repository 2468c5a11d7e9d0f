//! Where the lab keeps what outlives a run: built programs, Python environments, logs. Always outside the clone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::progress;

/// The cache's folder: `$PORTICO_CACHE`, else `$XDG_CACHE_HOME/portico`, else `~/.cache/portico`. Made if it is not there.
pub fn dir() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let dir = absolute("PORTICO_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("portico")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/portico")))
        .context("no place for the cache: set PORTICO_CACHE to an absolute path")?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make the cache folder {}", dir.display()))?;
    Ok(dir)
}

/// The first 12 hexadecimal digits of the SHA-256 of some files' contents: what keys a cache entry to its recipe.
pub fn fingerprint<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<String> {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
        digest.update([0]);
    }
    Ok(digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// Takes the cache's lock of that name, so that two runs do not build the same thing; held until the value is dropped.
/// Says so if it has to wait.
pub fn lock(name: &str) -> Result<Flock<File>> {
    let path = dir()?.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot make the lock {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => {
            progress::note(&format!("waiting for another run that holds {}", path.display()));
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).context("cannot take the cache's lock")
        }
        Err((_, errno)) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}
