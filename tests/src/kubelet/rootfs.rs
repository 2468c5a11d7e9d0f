//! The root file system of a container: its own tmpfs, with the host's programs and libraries shown read-only in it.
//!
//! There are no image layers. A container sees `/usr`, `/lib` and the like of the host, a small `/etc` of its own, fresh
//! `/proc`, `/dev` and `/tmp`, its program and its volumes; nothing else of the host and nothing of other pods.
//! Works as root and as root of a user namespace alike, where submounts are locked to their flags: binds are therefore
//! recursive, and read-only remounts keep the flags that they find.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::protocol::{ContainerSpec, Mount};

/// Top-level folders of the host that hold programs and libraries.
const HOST_FOLDERS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt", "nix", "gnu"];
/// What of the host's `/etc` programs need in order to start and to trust certificates.
const HOST_ETC: &[&str] =
    &["ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types"];
/// Device nodes of every container.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Folders that are empty at start, and their modes.
const EMPTY_FOLDERS: &[(&str, u32)] = &[
    ("tmp", 0o1777),
    ("run", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("var/log", 0o755),
    ("var/lib", 0o755),
    ("var/cache", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("dev", 0o755),
    ("dev/shm", 0o1777),
    ("etc", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
];

/// Why a container's file system could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct RootError {
    what: String,
    cause: io::Error,
}

trait Saying<T> {
    fn saying(self, what: impl FnOnce() -> String) -> Result<T, RootError>;
}

impl<T, E: Into<io::Error>> Saying<T> for Result<T, E> {
    fn saying(self, what: impl FnOnce() -> String) -> Result<T, RootError> {
        self.map_err(|cause| RootError { what: what(), cause: cause.into() })
    }
}

/// Whether a path of the host is seen at the same place in every container.
pub fn shows(path: &Path) -> bool {
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && matches!(components.next(), Some(Component::Normal(first)) if HOST_FOLDERS.iter().any(|folder| first == *folder))
}

/// The path of a system program, also where `PATH` lacks the `sbin` folders, as an ordinary user's does.
pub fn find_program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// Moves the calling process into a new mount namespace with the container's root file system as its `/`.
pub fn enter(spec: &ContainerSpec) -> Result<(), RootError> {
    let root = spec.root.as_path();
    unshare(CloneFlags::CLONE_NEWNS).saying(|| "unshare the mount namespace".to_owned())?;
    nix::unistd::sethostname(&spec.hostname).saying(|| "set the host name".to_owned())?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .saying(|| "make mounts private".to_owned())?;
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=0755")).saying(|| "mount the root tmpfs".to_owned())?;
    for (folder, mode) in EMPTY_FOLDERS {
        let path = root.join(folder);
        fs::create_dir(&path).saying(|| format!("mkdir /{folder}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).saying(|| format!("chmod /{folder}"))?;
    }
    symlink("../run", root.join("var/run")).saying(|| "link /var/run".to_owned())?;
    for folder in HOST_FOLDERS {
        show(root, &Path::new("/").join(folder))?;
    }
    for name in HOST_ETC {
        show(root, &Path::new("/etc").join(name))?;
    }
    write_accounts(root)?;
    mount_kernel_trees(root)?;
    let mut mounts: Vec<&Mount> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    for wanted in mounts {
        place(root, wanted)?;
    }
    pivot(root)?;
    if spec.read_only_root {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).saying(|| "make / read-only".to_owned())?;
    }
    std::env::set_current_dir(&spec.working_dir).saying(|| format!("working directory {}", spec.working_dir.display()))
}

/// Shows one of the host's paths at the same place, read-only; a symbolic link stays one. What is missing is left out.
fn show(root: &Path, path: &Path) -> Result<(), RootError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let target = inside(root, path);
    if metadata.is_symlink() && path.parent() == Some(Path::new("/")) {
        let link = fs::read_link(path).saying(|| format!("read link {}", path.display()))?;
        return symlink(&link, &target).saying(|| format!("link {}", path.display()));
    }
    if !path.exists() {
        return Ok(());
    }
    place(root, &Mount { source: path.to_owned(), target: path.to_owned(), read_only: true })
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The longest chain of symbolic links that is followed, as the kernel's own limit (ELOOP).
const LINKS_LIMIT: usize = 40;

/// Where a path of the new root leads, with links followed as they will be once it is the root: an absolute link must not
/// lead out of it and to the host's files.
fn follow_links(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut left: VecDeque<std::ffi::OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
    let mut reached = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => reached.push(name),
            Some(Component::RootDir) => reached.clear(),
            Some(Component::ParentDir) => drop(reached.pop()),
            _ => {}
        }
        if let Ok(link) = fs::read_link(root.join(&reached)) {
            links += 1;
            if links > LINKS_LIMIT {
                return Err(Errno::ELOOP.into());
            }
            reached.pop();
            for part in link.components().rev() {
                left.push_front(part.as_os_str().to_owned());
            }
        }
    }
    Ok(root.join(reached))
}

fn write_accounts(root: &Path) -> Result<(), RootError> {
    let etc = root.join("etc");
    fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        .and_then(|()| fs::write(etc.join("group"), "root:x:0:\nnogroup:x:65534:\n"))
        .and_then(|()| fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n"))
        .saying(|| "write /etc".to_owned())
}

fn mount_kernel_trees(root: &Path) -> Result<(), RootError> {
    for device in DEVICES {
        let source = Path::new("/dev").join(device);
        if source.exists() {
            place(root, &Mount { target: source.clone(), source, read_only: false })?;
        }
    }
    for (link, target) in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(target, root.join("dev").join(link)).saying(|| format!("link /dev/{link}"))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for (kind, flags) in [("proc", quiet), ("sysfs", quiet | MsFlags::MS_RDONLY)] {
        let path = if kind == "proc" { "proc" } else { "sys" };
        let target = root.join(path);
        // Refused inside containers that mask parts of these trees: the host's own then has to do.
        if mount(Some(kind), &target, Some(kind), flags, None::<&str>).is_err() {
            let host = Path::new("/").join(path);
            mount(Some(&host), &target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .saying(|| format!("show {}", host.display()))?;
        }
    }
    Ok(())
}

/// Binds one path into the new root, making its mount point.
fn place(root: &Path, wanted: &Mount) -> Result<(), RootError> {
    let describe = || format!("mount {} at {}", wanted.source.display(), wanted.target.display());
    let target = follow_links(root, &wanted.target).saying(describe)?;
    let is_folder = fs::metadata(&wanted.source).saying(describe)?.is_dir();
    if !target.exists() {
        let folder = if is_folder { Some(target.as_path()) } else { target.parent() };
        if let Some(folder) = folder {
            fs::create_dir_all(folder).saying(describe)?;
        }
        if !is_folder {
            fs::File::create(&target).saying(describe)?;
        }
    }
    mount(Some(&wanted.source), &target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).saying(describe)?;
    if wanted.read_only {
        let found = statvfs(&target).saying(describe)?.flags();
        let kept = [
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
            (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        ];
        let flags = kept
            .into_iter()
            .filter(|(has, _)| found.contains(*has))
            .fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, |flags, (_, keep)| flags | keep);
        mount(None::<&str>, &target, None::<&str>, flags, None::<&str>).saying(describe)?;
    }
    Ok(())
}

fn pivot(root: &Path) -> Result<(), RootError> {
    let describe = || "change the root".to_owned();
    std::env::set_current_dir(root).saying(describe)?;
    match nix::unistd::pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH).saying(describe)?,
        // The initial root file system of a machine cannot be pivoted away from.
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).saying(describe)?;
            nix::unistd::chroot(".").saying(describe)?;
        }
        Err(error) => return Err(error).saying(describe),
    }
    std::env::set_current_dir("/").saying(describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_folders_are_shown_and_others_are_not() {
        assert!(shows(Path::new("/usr/bin/env")));
        assert!(shows(Path::new("/bin/sh")));
        assert!(!shows(Path::new("/root/.cache/portico/echo-basic")));
        assert!(!shows(Path::new("usr/bin/env")));
    }

    #[test]
    fn links_lead_to_places_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("run/inner")).unwrap();
        fs::create_dir(at("var")).unwrap();
        symlink("/run", at("var/run")).unwrap();
        symlink("../../../../run/inner", at("var/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let follow = |path: &str| follow_links(root.path(), Path::new(path));
        assert_eq!(follow("/var/run/secrets/token").unwrap(), at("run/secrets/token"));
        assert_eq!(follow("/var/up/x").unwrap(), at("run/inner/x"));
        assert_eq!(follow("/../etc/./hosts").unwrap(), at("etc/hosts"));
        assert!(follow("/loop").is_err());
    }

    #[test]
    fn a_target_stays_inside_the_root() {
        assert_eq!(inside(Path::new("/new"), Path::new("/etc/hosts")), Path::new("/new/etc/hosts"));
    }
}
