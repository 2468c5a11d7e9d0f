//! Images: the lab pulls none. It knows a program for each image that it can run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::protocol::Mount;
use super::rootfs;

/// The program that stands for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The program's file on this machine: what the image's entry point would be.
    pub program: PathBuf,
    /// Arguments in front of none: what the image's `CMD` would be; a container's `args` replace them.
    pub args: Vec<String>,
    /// The image's environment.
    pub env: BTreeMap<String, String>,
    /// Further files and folders of this machine that the program needs, shown read-only at the same place.
    pub paths: Vec<PathBuf>,
}

impl Image {
    /// Where the program is found inside the container: at its own place if that is visible there, else `/NAME`, which
    /// is where small images put it.
    pub fn entry_point(&self) -> PathBuf {
        let visible = rootfs::shows(&self.program) || self.paths.iter().any(|path| self.program.starts_with(path));
        match self.program.file_name() {
            Some(name) if !visible => PathBuf::from("/").join(name),
            _ => self.program.clone(),
        }
    }

    /// What the container must see of this machine in order to run the program.
    pub fn mounts(&self) -> Vec<Mount> {
        let program = Mount { source: self.program.clone(), target: self.entry_point(), read_only: true };
        let paths = self.paths.iter().map(|path| Mount { source: path.clone(), target: path.clone(), read_only: true });
        paths.chain([program]).filter(|mount| mount.source != mount.target || !rootfs::shows(&mount.source)).collect()
    }
}

/// The images that a kubelet can run, by pattern.
///
/// A pattern is a repository with an optional tag. It matches the repository under any registry and prefix; `*` in the tag
/// stands for anything, and a pattern without a tag takes every tag and digest.
#[derive(Debug, Clone, Default)]
pub struct Images {
    by_pattern: BTreeMap<String, Image>,
}

impl Images {
    /// Makes the table.
    pub fn new(by_pattern: BTreeMap<String, Image>) -> Self {
        Self { by_pattern }
    }

    /// The program for an image reference; the longest pattern wins.
    pub fn find(&self, reference: &str) -> Option<&Image> {
        let candidates = self.by_pattern.iter().filter(|(pattern, _)| matches(pattern, reference));
        candidates.max_by_key(|(pattern, _)| pattern.len()).map(|(_, image)| image)
    }

    /// The patterns, for a message that says what could be run.
    pub fn patterns(&self) -> Vec<&str> {
        self.by_pattern.keys().map(String::as_str).collect()
    }
}

/// Splits a reference into repository and tag; a digest is dropped, since no layers stand behind it.
fn split(reference: &str) -> (&str, Option<&str>) {
    let without_digest = reference.split_once('@').map_or(reference, |(name, _)| name);
    match without_digest.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (without_digest, None),
    }
}

fn matches(pattern: &str, reference: &str) -> bool {
    let (wanted, wanted_tag) = split(pattern);
    let (repository, tag) = split(reference);
    let same_repository = repository == wanted || repository.strip_suffix(wanted).is_some_and(|prefix| prefix.ends_with('/'));
    let same_tag = wanted_tag.is_none_or(|wanted| glob(wanted, tag.unwrap_or("latest")));
    same_repository && same_tag
}

/// `*` stands for any number of characters.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| tail.get(at..).is_some_and(|tail| glob(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Images {
        let image = |name: &str| Image { program: PathBuf::from("/cache").join(name), ..Image::default() };
        Images::new(BTreeMap::from([
            ("gateway-api/conformance/echo-basic:*".to_owned(), image("echo-basic")),
            ("gateway-api/conformance/echo-basic:v0.2*".to_owned(), image("echo-basic-2")),
            ("tools".to_owned(), image("tools")),
        ]))
    }

    fn program(reference: &str) -> Option<String> {
        table().find(reference).map(|image| image.program.display().to_string())
    }

    #[test]
    fn registry_prefixes_tags_and_digests_are_understood() {
        for reference in [
            "gateway-api/conformance/echo-basic:v0.1.0",
            "gateway-api/conformance/echo-basic",
            "registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0",
            "localhost:5000/gateway-api/conformance/echo-basic",
            "gateway-api/conformance/echo-basic:v0.1.0@sha256:00",
        ] {
            assert_eq!(program(reference).as_deref(), Some("/cache/echo-basic"), "{reference}");
        }
    }

    #[test]
    fn the_longest_pattern_wins_and_the_unknown_is_unknown() {
        assert_eq!(program("gateway-api/conformance/echo-basic:v0.2.1").as_deref(), Some("/cache/echo-basic-2"));
        assert_eq!(program("example.org/tools@sha256:00").as_deref(), Some("/cache/tools"));
        for reference in ["nginx", "my-tools", "conformance/echo-basic:v0.1.0", "gateway-api/conformance/echo-basic-more:v0.1.0"] {
            assert_eq!(program(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_program_that_the_container_cannot_see_appears_at_its_root() {
        let hidden = Image { program: PathBuf::from("/cache/echo-basic"), ..Image::default() };
        assert_eq!(hidden.entry_point(), PathBuf::from("/echo-basic"));
        assert_eq!(hidden.mounts().len(), 1);
        let visible = Image { program: PathBuf::from("/usr/bin/env"), ..Image::default() };
        assert_eq!(visible.entry_point(), PathBuf::from("/usr/bin/env"));
        assert_eq!(visible.mounts(), []);
        let bundled =
            Image { program: PathBuf::from("/cache/venv/bin/run"), paths: vec![PathBuf::from("/cache/venv")], ..Image::default() };
        assert_eq!(bundled.entry_point(), PathBuf::from("/cache/venv/bin/run"));
    }
}
