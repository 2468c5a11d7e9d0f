//! A running lab as its other processes see it: how to find it, and the environment of a command in it.
//!
//! Nothing on the disk says that a lab runs, so that nothing can be left behind: its first process is found in /proc, and
//! its description is a file on its own memory file system.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::fleet::{self, Programs, Proxy};
use crate::netns::STATE_DIR;
use crate::program;

/// Name of the session's file in [`STATE_DIR`].
const FILE: &str = "session.json";

/// What a running lab says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// The environment that a command in it gets besides the caller's.
    pub env: BTreeMap<String, String>,
    /// The folder put in front of a command's `PATH`.
    pub programs: PathBuf,
    /// Where its processes log.
    pub logs: PathBuf,
    /// The Kubernetes API server's URL.
    pub api_server: String,
    /// The embedded cloud's URL, if it runs.
    pub cloud: Option<String>,
    /// Whether our operator runs.
    pub operator: bool,
    /// Whether the Gateway API's CRDs are those of the experimental channel.
    pub experimental: bool,
    /// What proxies are started with, if a fleet of them runs.
    pub fleet: Option<Programs>,
}

impl Session {
    /// Leaves the description where others find it.
    pub fn publish(&self) -> Result<()> {
        let path = Path::new(STATE_DIR).join(FILE);
        let staged = path.with_extension("staged");
        fs::write(&staged, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", staged.display()))?;
        fs::rename(&staged, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The proxies of its fleet; none if it has no fleet.
    pub fn proxies(&self) -> Vec<Proxy> {
        if self.fleet.is_some() { fleet::proxies() } else { Vec::new() }
    }

    /// The description of the lab that this process runs in.
    pub fn current() -> Result<Self> {
        Self::read(&Path::new(STATE_DIR).join(FILE)).context("not inside a lab: use `cargo lab run -- CMD` or `cargo lab exec -- CMD`")
    }

    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("cannot understand {}", path.display()))
    }
}

/// A running lab, found from outside.
#[derive(Debug)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its first process, by its number out here.
    pub pid: i32,
}

impl Running {
    /// What it says of itself; an error while it is still starting.
    pub fn session(&self) -> Result<Session> {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        Session::read(&root.join(STATE_DIR.trim_start_matches('/')).join(FILE))
            .with_context(|| format!("the lab {} is not ready, or belongs to somebody else", self.name))
    }
}

/// The labs that run on this machine, and that we may enter.
pub fn running() -> Vec<Running> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some(Running { name: init_of(pid)?, pid })).collect()
}

/// The lab of that name, or the only one.
pub fn find(name: Option<&str>) -> Result<Running> {
    let mut candidates = running();
    if let Some(name) = name {
        candidates.retain(|lab| lab.name == name);
    }
    match (candidates.pop(), candidates.is_empty()) {
        (Some(lab), true) => Ok(lab),
        (Some(last), false) => {
            let names: Vec<&str> = candidates.iter().chain([&last]).map(|lab| lab.name.as_str()).collect();
            bail!("several labs are running ({}): choose one by --name", names.join(", "))
        }
        (None, _) => match name {
            Some(name) => bail!("no lab named {name} is running: start it by `cargo lab up --name {name}`"),
            None => bail!("no lab is running: start one by `cargo lab up`, or use `cargo lab run -- CMD`"),
        },
    }
}

/// The name of the lab whose first process that is; none if it is some other process.
fn init_of(pid: i32) -> Option<String> {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command_line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let (program, verb, name) = (words.next()?, words.next()?, words.next()?);
    if verb != "init" || Path::new(&program).file_name()? != program::NAME {
        return None;
    }
    // `NSpid:` lists the process's number in each of its process namespaces, the innermost last.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    (numbers.len() == 2 && numbers.last() == Some(&"1")).then_some(name)
}
