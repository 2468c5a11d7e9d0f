//! The first process of the lab's process namespace: furnishes the namespaces, starts the supervisor, reaps whatever is orphaned, and ends with the
//! supervisor, whereupon the kernel ends everything else.

use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};

use crate::supervisor::{self, Event};
use crate::{netns, program};

/// Runs the supervisor of that session and returns its exit code.
pub fn run(session: &str) -> Result<u8> {
    if let Err(error) = netns::furnish().and_then(|()| program::show_inside()) {
        supervisor::tell(&Event::Failed(format!("{error:#}")));
        return Ok(1);
    }
    let supervisor = Command::new(program::path_inside()).args(["supervise", session]).spawn().context("cannot start the supervisor")?;
    let pid = i32::try_from(supervisor.id()).context("the supervisor's process id")?;
    loop {
        match wait() {
            Ok(WaitStatus::Exited(ended, code)) if ended.as_raw() == pid => return Ok(u8::try_from(code).unwrap_or(1)),
            Ok(WaitStatus::Signaled(ended, signal, _)) if ended.as_raw() == pid => {
                return Ok(u8::try_from(128 + signal as i32).unwrap_or(1));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for the supervisor"),
        }
    }
}
