//! Which files there are.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Deeper than any folder of manifests.
const MAX_DEPTH: usize = 32;
const MAX_FILES: usize = 100_000;

/// The paths to read, as written and as found.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// As given on the command line: this is how its files are named.
    pub(super) shown: PathBuf,
    pub(super) path: PathBuf,
}

/// A file as the file system has it; equal stamps are nearly always equal contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// All files below the roots.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// By the name that is shown.
    pub(super) files: BTreeMap<Arc<str>, (PathBuf, Stamp)>,
    /// What could not be listed, by the name that is shown, and why.
    pub(super) unreadable: BTreeMap<Arc<str>, String>,
    /// The directories that were listed, each by its real path.
    seen: HashSet<PathBuf>,
}

// === impl Root ===

impl Root {
    pub(super) fn new(shown: &Path) -> io::Result<Self> {
        Ok(Self {
            // Without a trailing slash.
            shown: shown.components().collect(),
            path: std::path::absolute(shown)?,
        })
    }
}

// === impl Stamp ===

impl Stamp {
    pub(super) fn new(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

// === impl Listing ===

impl Listing {
    pub(super) fn new(roots: &[Root]) -> Self {
        let mut listing = Self::default();
        for root in roots {
            // What is named is read, whatever its name ends in.
            match fs::metadata(&root.path) {
                Ok(metadata) if metadata.is_dir() => listing.directory(&root.shown, &root.path, 0),
                Ok(metadata) => listing.file(&root.shown, &root.path, &metadata),
                Err(error) => listing.refuse(&root.shown, error.to_string()),
            }
        }
        listing
    }

    /// Whether a file could be there without having been found.
    pub(super) fn hides(&self, file: &str) -> bool {
        let file = Path::new(file);
        self.unreadable
            .keys()
            .any(|above| file.starts_with(&**above) || (&**above == "." && file.is_relative()))
    }

    fn directory(&mut self, shown: &Path, path: &Path, depth: usize) {
        let listed = fs::canonicalize(path).and_then(|real| {
            // A link to a directory above, or two links to the same one.
            if !self.seen.insert(real) {
                return Ok(Vec::new());
            }
            let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            Ok(entries)
        });
        match listed {
            Ok(_) if depth > MAX_DEPTH => {
                self.refuse(shown, format!("nested deeper than {MAX_DEPTH} directories"));
            }
            Ok(entries) => entries
                .iter()
                .for_each(|entry| self.entry(shown, entry, depth)),
            Err(error) => self.refuse(shown, error.to_string()),
        }
    }

    fn entry(&mut self, parent: &Path, entry: &fs::DirEntry, depth: usize) {
        let name = entry.file_name();
        // Editors' swap files; also `..data`, through which the files of a mounted ConfigMap are linked.
        if name.as_encoded_bytes().starts_with(b".") {
            return;
        }
        let (shown, path) = (parent.join(&name), entry.path());
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.directory(&shown, &path, depth + 1),
            Ok(metadata) if is_manifest(&path) => self.file(&shown, &path, &metadata),
            Err(error) if is_manifest(&path) && error.kind() != io::ErrorKind::NotFound => {
                self.refuse(&shown, error.to_string());
            }
            // Of no concern, deleted since it was listed, or a link to nothing.
            Ok(_) | Err(_) => {}
        }
    }

    fn file(&mut self, shown: &Path, path: &Path, metadata: &fs::Metadata) {
        if !metadata.is_file() {
            return self.refuse(shown, "not a file or a directory".to_owned());
        }
        if self.files.len() >= MAX_FILES {
            return self.refuse(shown, format!("there are more than {MAX_FILES} files"));
        }
        let stamp = Stamp::new(metadata);
        self.files.insert(name(shown), (path.to_owned(), stamp));
    }

    fn refuse(&mut self, shown: &Path, why: String) {
        self.unreadable.insert(name(shown), why);
    }
}

/// Whether the name is one of those that are read.
pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

fn name(path: &Path) -> Arc<str> {
    let name = path.to_string_lossy();
    let bare = name.strip_prefix("./").unwrap_or(&name);
    if bare.is_empty() { name.as_ref() } else { bare }.into()
}
