//! The last good resource set, kept in a file for the next process that starts while the API server is away.
//!
//! JSON lines: who wrote it, then one line for each object as the API server had it, with the watch that told of it, for each
//! Secret whose body was wanted (and before it one for what it held when it was last good, if it is not), and for each that was wanted and is not there; at last a digest of all that. A file that is
//! cut off, changed, or of another installation is refused as a whole: half a set would be worse than none.
//!
//! It holds private keys. The folder has to be in memory (`emptyDir: {medium: Memory}`); the file is its owner's alone.

mod volume;

use std::{
    fs, io,
    io::{BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::resource::{Group, Kind, ObjectKey, SecretData};

/// Of the lines. One of another number is refused.
const FORMAT: u32 = 1;
/// More than the largest sets that are served from one replica's memory.
const MAX_BYTES: u64 = 256 << 20;

const NAME: &str = "resources.jsonl";
const NEW_NAME: &str = "resources.jsonl.new";

/// The folder of one installation's file.
#[derive(Clone, Debug)]
pub struct StateDir {
    pub folder: PathBuf,
    /// Whether the content of a Secret is good for something: the last good one is kept beside one that is not.
    pub is_good: fn(&SecretData) -> bool,
    pub owner: Owner,
}

/// Whose set it is: what another one saw is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The API server, as a URL.
    pub server: String,
    pub installation: String,
    pub namespace: String,
    /// Empty: all.
    pub watch_namespaces: Vec<String>,
}

/// A set that is to be kept. Objects are texts that are JSON already.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// With the name of the watch.
    pub(super) objects: Vec<(Arc<str>, Arc<str>)>,
    /// A former content of one comes before the present one.
    pub(super) secrets: Vec<Arc<str>>,
    /// Secrets that are wanted and do not exist.
    pub(super) absent: Vec<ObjectKey>,
}

/// A set that was kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) at: Timestamp,
    pub(super) objects: Vec<(Arc<str>, Value)>,
    pub(super) secrets: Vec<Value>,
    pub(super) absent: Vec<ObjectKey>,
}

/// Why a file was not written, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it would be larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("it does not begin as such a file does")]
    NoHeader,
    #[error("it has format {0}, and this version of Postern reads {FORMAT}")]
    Format(u64),
    #[error("it belongs to another installation, namespace, list of namespaces or API server")]
    Foreign,
    #[error("it is cut off")]
    CutOff,
    #[error("its digest is not that of its contents")]
    Digest,
    #[error("line {0} cannot be read")]
    Line(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    postern_resources: u32,
    /// Seconds since 1970.
    kept: i64,
    owner: Owner,
}

/// A line after the first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Object { watch: Arc<str>, manifest: Value },
    Secret(Value),
    AbsentSecret { namespace: String, name: String },
    End { sha256: String },
}

/// Counts and digests what goes through it.
struct Sealing<W> {
    to: W,
    written: u64,
    digest: Sha256,
}

// === impl StateDir ===

impl StateDir {
    /// Puts the set in the place of the last one: whoever reads sees one or the other. One that is too large leaves none.
    pub(super) fn write(&self, contents: &Contents, at: Timestamp) -> Result<(), KeptError> {
        let new = self.folder.join(NEW_NAME);
        let written = self.write_new(&new, contents, at);
        match written {
            Ok(()) => Ok(fs::rename(&new, self.path())?),
            Err(error) => {
                // What is half written may be in the way of somebody who needs the memory.
                let _gone = fs::remove_file(&new);
                if matches!(error, KeptError::TooLarge) {
                    let _gone = fs::remove_file(self.path());
                }
                Err(error)
            }
        }
    }

    /// The set of the last process; none if there is no file.
    pub(super) fn read(&self) -> Result<Option<Kept>, KeptError> {
        let file = match fs::File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(KeptError::TooLarge);
        }
        decode(&bytes, &self.owner).map(Some)
    }

    /// Whether the folder is in memory, where that can be told.
    pub(super) fn is_in_memory(&self) -> Option<bool> {
        volume::is_in_memory(&self.folder)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    fn write_new(&self, new: &Path, contents: &Contents, at: Timestamp) -> Result<(), KeptError> {
        fs::create_dir_all(&self.folder)?;
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = BufWriter::new(own_file(new)?);
        encode(contents, &self.owner, at, &mut file)?;
        // Nothing waits for a disk: what is in memory is gone with the machine anyway.
        file.flush()?;
        Ok(())
    }
}

/// A file that did not exist, for nobody else to read.
fn own_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

// === lines ===

fn encode(
    contents: &Contents,
    owner: &Owner,
    at: Timestamp,
    to: &mut impl Write,
) -> Result<(), KeptError> {
    let mut sealing = Sealing {
        to,
        written: 0,
        digest: Sha256::new(),
    };
    let header = Header {
        postern_resources: FORMAT,
        kept: at.as_second(),
        owner: owner.clone(),
    };
    sealing.line(&[&json(&header)])?;
    for (watch, manifest) in &contents.objects {
        let watch = json(&**watch);
        sealing.line(&[
            r#"{"object":{"watch":"#,
            &watch,
            r#","manifest":"#,
            manifest,
            "}}",
        ])?;
    }
    for manifest in &contents.secrets {
        sealing.line(&[r#"{"secret":"#, manifest, "}"])?;
    }
    for key in &contents.absent {
        let (namespace, name) = (json(&*key.namespace), json(&*key.name));
        sealing.line(&[
            r#"{"absentSecret":{"namespace":"#,
            &namespace,
            r#","name":"#,
            &name,
            "}}",
        ])?;
    }
    let digest = format!("{:x}", Bytes::from_owner(sealing.digest.clone().finalize()));
    sealing.line(&[r#"{"end":{"sha256":""#, &digest, r#""}}"#])
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("texts and numbers must become JSON")
}

fn decode(bytes: &[u8], owner: &Owner) -> Result<Kept, KeptError> {
    let (first, rest) = split(bytes).ok_or(KeptError::NoHeader)?;
    let header: Value = serde_json::from_slice(first).map_err(|_| KeptError::NoHeader)?;
    let format = header.get("posternResources").and_then(Value::as_u64);
    match format.ok_or(KeptError::NoHeader)? {
        format if format == u64::from(FORMAT) => {}
        other => return Err(KeptError::Format(other)),
    }
    let header: Header = serde_json::from_value(header).map_err(|_| KeptError::NoHeader)?;
    if header.owner != *owner {
        return Err(KeptError::Foreign);
    }
    let body = sealed(bytes, rest)?;
    let at = Timestamp::from_second(header.kept).map_err(|_| KeptError::NoHeader)?;
    let mut kept = Kept {
        at,
        objects: Vec::new(),
        secrets: Vec::new(),
        absent: Vec::new(),
    };
    let lines = body.split(|byte| *byte == b'\n');
    for (index, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        let number = index + 2;
        match serde_json::from_slice(line).map_err(|_| KeptError::Line(number))? {
            Line::Object { watch, manifest } => kept.objects.push((watch, manifest)),
            Line::Secret(manifest) => kept.secrets.push(manifest),
            Line::AbsentSecret { namespace, name } => {
                let key = ObjectKey::new(Group::Core, Kind::Secret, &namespace, &name);
                kept.absent.push(key);
            }
            Line::End { .. } => return Err(KeptError::Line(number)),
        }
    }
    Ok(kept)
}

/// The lines between the first and the last, which must be their seal.
fn sealed<'b>(whole: &[u8], rest: &'b [u8]) -> Result<&'b [u8], KeptError> {
    let ended = rest.strip_suffix(b"\n").ok_or(KeptError::CutOff)?;
    let start = ended.iter().rposition(|byte| *byte == b'\n');
    let (body, last) = ended.split_at(start.map_or(0, |newline| newline + 1));
    let Ok(Line::End { sha256 }) = serde_json::from_slice(last) else {
        return Err(KeptError::CutOff);
    };
    let before = whole.len() - last.len() - 1;
    let found = Sha256::digest(whole.get(..before).ok_or(KeptError::CutOff)?);
    if format!("{:x}", Bytes::from_owner(found)) != sha256 {
        return Err(KeptError::Digest);
    }
    Ok(body)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

// === impl Sealing ===

impl<W: Write> Sealing<W> {
    fn line(&mut self, parts: &[&str]) -> Result<(), KeptError> {
        for part in parts.iter().chain(&["\n"]) {
            self.written += part.len() as u64;
            if self.written > MAX_BYTES {
                return Err(KeptError::TooLarge);
            }
            self.digest.update(part.as_bytes());
            self.to.write_all(part.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
