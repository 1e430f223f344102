//! What was last read of the folder, and what differs now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use super::{
    file::Reader,
    list::{Listing, Root, Stamp, is_manifest},
};
use crate::{
    resource::{Kind, ObjectKey},
    source::{
        Change,
        merge::{Contents, Merge},
        yaml,
    },
};

/// What may have changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Files whose contents may differ even if their stamps do not.
    pub(super) paths: HashSet<PathBuf>,
    /// Files may have come and gone.
    pub(super) listing: bool,
}

/// The files as they were last read.
#[derive(Debug)]
pub(super) struct Folder {
    roots: Vec<Root>,
    reader: Reader,
    files: BTreeMap<Arc<str>, Held>,
    merge: Merge,
    /// Secrets that were said to be absent.
    absent: BTreeSet<ObjectKey>,
}

#[derive(Debug, Default)]
struct Held {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Read again without a new stamp: a second write may fall into the same tick of the file system's clock.
    confirmed: bool,
    digest: [u8; 32],
    /// It has just become empty, and its contents were left as they were.
    emptied: bool,
    contents: Contents,
}

// === impl Folder ===

impl Folder {
    pub(super) fn new(roots: Vec<Root>, default_namespace: String) -> Self {
        Self {
            roots,
            reader: Reader::new(default_namespace),
            files: BTreeMap::new(),
            merge: Merge::default(),
            absent: BTreeSet::new(),
        }
    }

    pub(super) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Whether a file that has become empty is to be looked at again soon.
    pub(super) fn is_doubtful(&self) -> bool {
        self.files
            .values()
            .any(|held| held.emptied && held.stamp.is_none())
    }

    /// Reads what may have changed, and returns what did.
    pub(super) fn update(&mut self, touched: &Touched) -> Vec<Change> {
        if touched.listing || !self.reread(touched) {
            self.list(touched);
        }
        let files = self.files.iter_mut();
        self.merge
            .update(files.map(|(path, held)| (path, &mut held.contents)))
    }

    /// Says which wanted Secrets are not there.
    pub(super) fn want(&mut self, wanted: &BTreeSet<ObjectKey>) -> Vec<Change> {
        let absent: BTreeSet<_> = wanted
            .iter()
            .filter(|key| key.kind == Kind::Secret && !self.merge.has(key))
            .cloned()
            .collect();
        // Those that are there now were taken back when they were put.
        let unwanted = self
            .absent
            .difference(&absent)
            .filter(|key| !self.merge.has(key))
            .cloned()
            .map(Change::Delete);
        let new = absent
            .difference(&self.absent)
            .cloned()
            .map(Change::AbsentSecret);
        let changes = unwanted.chain(new).collect();
        self.absent = absent;
        changes
    }

    /// Reads only the touched files again; false when that would not be enough.
    fn reread(&mut self, touched: &Touched) -> bool {
        let by_path: HashMap<&Path, &Arc<str>> = self
            .files
            .iter()
            .map(|(name, held)| (held.path.as_path(), name))
            .collect();
        let mut known = Vec::new();
        for path in &touched.paths {
            match by_path.get(path.as_path()) {
                Some(name) => known.push(Arc::clone(name)),
                None if self.is_ignored(path) => {}
                None => return false,
            }
        }
        for name in known {
            let Some(mut held) = self.files.remove(&name) else {
                continue;
            };
            match fs::metadata(&held.path) {
                Ok(metadata) if metadata.is_file() => {
                    self.read(&name, &mut held, Stamp::new(&metadata));
                    self.files.insert(name, held);
                }
                _ => {
                    self.files.insert(name, held);
                    return false;
                }
            }
        }
        true
    }

    /// Whether a path that is not a file that is held has no part in the folder either.
    fn is_ignored(&self, path: &Path) -> bool {
        let name = path
            .file_name()
            .map_or(b"".as_slice(), |name| name.as_encoded_bytes());
        // Through `..data` the files of a mounted ConfigMap are linked.
        if name.starts_with(b".") && !name.starts_with(b"..") {
            return true;
        }
        let above = || self.files.values().any(|held| held.path.starts_with(path));
        !(name.starts_with(b"..") || is_manifest(path) || path.is_dir() || above())
    }

    /// Lists the folder, and reads what is new or may be different.
    fn list(&mut self, touched: &Touched) {
        let listing = Listing::new(&self.roots);
        self.files.retain(|name, held| {
            // Nothing is deleted because it cannot be seen.
            let stays = listing.files.contains_key(name)
                || (listing.hides(name) && !held.contents.found.is_empty());
            held.contents.unreadable = None;
            stays
        });
        for (name, (path, stamp)) in &listing.files {
            let mut held = self.files.remove(name).unwrap_or_default();
            held.path.clone_from(path);
            let same = held.stamp == Some(*stamp);
            if !same || !held.confirmed || touched.paths.contains(path) {
                held.confirmed = same;
                self.read(name, &mut held, *stamp);
            }
            self.files.insert(name.clone(), held);
        }
        for (name, why) in &listing.unreadable {
            let held = self.files.entry(name.clone()).or_default();
            held.stamp = None;
            held.contents.unreadable = Some(why.clone());
        }
    }

    fn read(&mut self, name: &Arc<str>, held: &mut Held, stamp: Stamp) {
        if held.stamp != Some(stamp) {
            held.confirmed = false;
        }
        held.contents.unreadable = None;
        let bytes = match read(&held.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                held.stamp = None;
                held.contents.unreadable = Some(error.to_string());
                return;
            }
        };
        let emptied = bytes.iter().all(u8::is_ascii_whitespace) && !held.contents.found.is_empty();
        if emptied && !held.emptied {
            // Many programs empty a file before they write it.
            (held.emptied, held.stamp) = (true, None);
            return;
        }
        held.emptied = false;
        let digest = Sha256::digest(&bytes).into();
        if held.stamp.is_none() || held.digest != digest {
            held.contents = self.reader.read(name, &bytes, &held.contents);
            held.digest = digest;
        }
        held.stamp = Some(stamp);
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    // One byte more shows that there is more.
    let most = yaml::MAX_BYTES.saturating_add(1);
    let said = usize::try_from(file.metadata()?.len()).unwrap_or(most);
    let mut bytes = Vec::with_capacity(said.saturating_add(1).min(most));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
