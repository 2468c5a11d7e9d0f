//! `lab doctor`: what this machine lacks, with the command that mends it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::netns::Privilege;
use crate::{cache, exec, progress};

/// Free space that the first build wants: Cargo's target folder (10 GB) and Go's caches (5 GB).
const FIRST_BUILD_BYTES: u64 = 16 << 30;
/// Free space that later runs want.
const LATER_BYTES: u64 = 2 << 30;
/// The oldest Go that fetches the toolchain that a module asks for.
const OLDEST_GO: (u32, u32) = (1, 21);
/// The oldest Rust that the workspace builds with; the same as `rust-version` in Cargo.toml, which a test checks.
const OLDEST_RUST: (u32, u32) = (1, 94);

/// What one check found.
struct Finding {
    /// What was looked at.
    subject: &'static str,
    /// Found as it should be, or what is wrong.
    outcome: Result<String, Lack>,
}

/// Something that is missing.
struct Lack {
    what: String,
    remedy: &'static str,
    needed: bool,
}

/// Checks the machine; the exit code is 1 if something needed is missing.
pub fn run() -> Result<u8> {
    let findings = [
        program("ip", "apt-get install iproute2"),
        program("unshare", "apt-get install util-linux"),
        program("nsenter", "apt-get install util-linux"),
        program("setpriv", "apt-get install util-linux"),
        program("curl", "apt-get install curl"),
        version("go", &["version"], OLDEST_GO, "apt-get install golang-go (Debian 12: -t bookworm-backports), or https://go.dev/dl"),
        version("rustc", &["--version"], OLDEST_RUST, "https://rustup.rs, then: rustup update stable"),
        program("cc", "apt-get install build-essential"),
        python(),
        namespaces(),
        disk(),
        optional("cargo-deny", "cargo install --locked cargo-deny (only for `cargo lab test --full`)"),
    ];
    let mut missing = 0;
    for finding in &findings {
        match &finding.outcome {
            Ok(found) => progress::good(&format!("{}: {found}", finding.subject)),
            Err(lack) if lack.needed => {
                missing += 1;
                progress::bad(&format!("{}: {}\n    mend it: {}", finding.subject, lack.what, lack.remedy));
            }
            Err(lack) => progress::note(&format!("{}: {} (optional)\n    mend it: {}", finding.subject, lack.what, lack.remedy)),
        }
    }
    if missing == 0 {
        anstream::println!("This machine has what the lab needs.");
        Ok(0)
    } else {
        anstream::println!("{missing} thing(s) missing.");
        Ok(1)
    }
}

fn program(name: &'static str, remedy: &'static str) -> Finding {
    let outcome =
        if exec::on_path(name) { Ok("found".to_owned()) } else { Err(Lack { what: "not found".to_owned(), remedy, needed: true }) };
    Finding { subject: name, outcome }
}

fn optional(name: &'static str, remedy: &'static str) -> Finding {
    let mut finding = program(name, remedy);
    if let Err(lack) = &mut finding.outcome {
        lack.needed = false;
    }
    finding
}

fn version(name: &'static str, arguments: &[&str], oldest: (u32, u32), remedy: &'static str) -> Finding {
    let lack = |what: String| Err(Lack { what, remedy, needed: true });
    let outcome = match Command::new(name).args(arguments).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            match first_version(&text) {
                Some(found) if found >= oldest => Ok(text),
                _ => lack(format!("{text}: older than {}.{}", oldest.0, oldest.1)),
            }
        }
        _ => lack("not found".to_owned()),
    };
    Finding { subject: name, outcome }
}

/// The first `MAJOR.MINOR` in a program's answer (`go version go1.26.8 linux/amd64`).
fn first_version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches("go").split('.');
        let major = parts.next()?.parse().ok()?;
        Some((major, parts.next()?.parse().ok()?))
    })
}

fn python() -> Finding {
    let remedy = "apt-get install python3 python3-venv";
    let outcome = match Command::new("python3").args(["-c", "import venv, ensurepip, sys; print(sys.version.split()[0])"]).output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(_) => Err(Lack { what: "the module venv is not whole".to_owned(), remedy, needed: true }),
        Err(_) => Err(Lack { what: "not found".to_owned(), remedy, needed: true }),
    };
    Finding { subject: "python3 with venv", outcome }
}

fn namespaces() -> Finding {
    let outcome = match Privilege::detect() {
        Ok(Privilege::Root) => Ok("as root".to_owned()),
        Ok(Privilege::UserNamespace) => Ok("as an ordinary user".to_owned()),
        Err(error) => {
            let reads = |path: &str, value: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
            let remedy = if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
                "sudo sysctl -w kernel.unprivileged_userns_clone=1 (to keep it: in /etc/sysctl.d/), or run as root"
            } else if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (to keep it: in /etc/sysctl.d/), or run as root"
            } else if reads("/proc/sys/user/max_user_namespaces", "0") {
                "sudo sysctl -w user.max_user_namespaces=15000 (to keep it: in /etc/sysctl.d/), or run as root"
            } else {
                "run as root; in a container: with --privileged, or --cap-add SYS_ADMIN and an unmasked /proc"
            };
            Err(Lack { what: format!("{error:#}"), remedy, needed: true })
        }
    };
    Finding { subject: "namespaces", outcome }
}

fn disk() -> Finding {
    let outcome = match cache::dir().and_then(|dir| Ok((free_bytes(&dir)?, dir))) {
        Ok((free, dir)) => {
            let wanted = if dir.join("controlplane").is_dir() { LATER_BYTES } else { FIRST_BUILD_BYTES };
            let found = format!("{} GB free at {}", free >> 30, dir.display());
            if free >= wanted {
                Ok(found)
            } else {
                let what = format!("{found}, but {} are wanted", wanted >> 30);
                Err(Lack { what, remedy: "make room, or set PORTICO_CACHE to a folder on a larger disk", needed: true })
            }
        }
        Err(error) => Err(Lack { what: format!("{error:#}"), remedy: "set PORTICO_CACHE to a folder that can be written", needed: true }),
    };
    Finding { subject: "disk", outcome }
}

fn free_bytes(dir: &Path) -> Result<u64> {
    let statistics = nix::sys::statvfs::statvfs(dir)?;
    Ok(statistics.blocks_available().saturating_mul(statistics.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_out_of_programs_answers() {
        assert_eq!(first_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(first_version("rustc 1.95.0 (f2d3ce0bd 2026-03-21)"), Some((1, 95)));
        assert_eq!(first_version("no version here"), None);
    }

    #[test]
    fn asks_for_the_rust_that_the_workspace_asks_for() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
        let line = manifest.lines().find(|line| line.starts_with("rust-version")).unwrap();
        assert!(line.contains(&format!("\"{}.{}", OLDEST_RUST.0, OLDEST_RUST.1)), "{line}");
    }
}
