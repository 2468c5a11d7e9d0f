//! A program that ends when whoever started it does, however that ends: a demo that is killed leaves no proxy behind.

use std::ffi::OsString;

use clap::Args;

/// Arguments of the hidden command `portico tied`.
#[derive(Args, Debug)]
pub struct TiedArguments {
    /// The process that it is tied to.
    #[arg(long)]
    parent: u32,
    /// The program and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// The command line that runs a program tied to this process.
pub fn command(program: &std::path::Path) -> tokio::process::Command {
    if cfg!(target_os = "linux") {
        // This very program, even if its file was replaced since.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.args(["tied", "--parent", &std::process::id().to_string(), "--"]).arg(program);
        command
    } else {
        tokio::process::Command::new(program)
    }
}

/// Becomes the program. The kernel ends it when the thread that started it ends (Linux: `PR_SET_PDEATHSIG`, which stays over `execve`). Returns only if that fails.
///
/// # Errors
/// If the parent is gone already, or the program cannot be run.
#[cfg(target_os = "linux")]
pub fn run(arguments: &TiedArguments) -> anyhow::Result<std::process::ExitCode> {
    use anyhow::Context;
    use std::os::unix::process::{CommandExt, parent_id};

    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).context("the kernel does not tie processes")?;
    anyhow::ensure!(parent_id() == arguments.parent, "the process that this one is tied to has ended");
    let (program, rest) = arguments.command.split_first().context("no program")?;
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", std::path::Path::new(program).display()))
}

/// There is no such thing here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &TiedArguments) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("only Linux ties processes")
}
