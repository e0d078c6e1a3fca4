//! Compiled components on disk, so that each is compiled once. Machine code is only ever taken
//! from a file that carries this folder's own authentication tag.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::RngCore;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

const KEY_FILE: &str = "key";
const OWNERS_FILE: &str = "types.json";
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;

/// SHA-256 works on blocks of this size, and so does the HMAC over it.
const BLOCK_BYTES: usize = 64;

pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl Cache {
    pub fn open(folder: &Path) -> io::Result<Cache> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // It may have been there already, with another mode.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let key = read_or_make_key(&folder.join(KEY_FILE))?;
        Ok(Cache {
            folder: folder.to_owned(),
            key,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The component from the cache, when it is there and whole.
    pub fn get(&self, engine: &Engine, source: &[u8]) -> Option<Component> {
        let name = entry_name(engine, source);
        let entry = fs::read(self.folder.join(&name)).ok()?;
        let (tag, compiled) = entry.split_at_checked(TAG_BYTES)?;
        if !same(tag, &self.tag(&name, compiled)) {
            tracing::warn!(file = name, "damaged entry in the plugin cache is ignored");
            return None;
        }
        // SAFETY: `deserialize` asks that the bytes were made by `Component::serialize` or
        // `precompile_component`. Their tag was made with this folder's secret key, which only a
        // broker that runs on this folder reads (mode 0700, key file 0600), and `put` below is the
        // only code that makes tags, over bytes that the compiler just returned. The tag covers
        // the entry's name, so an entry of another component or engine cannot stand in for it.
        // The bytes are a private copy in memory: nobody can change them between check and use.
        // wasmtime itself refuses bytes of another version or with other settings.
        match unsafe { Component::deserialize(engine, compiled) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = name, %error, "entry in the plugin cache is not usable");
                None
            }
        }
    }

    /// Keeps a compiled component.
    pub fn put(&self, engine: &Engine, source: &[u8], component: &Component) -> io::Result<()> {
        let compiled = component
            .serialize()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let name = entry_name(engine, source);
        let tag = self.tag(&name, &compiled);
        self.replace(&name, &[&tag, &compiled])
    }

    /// As `keep_owners` has kept them. What cannot be read is nothing.
    pub fn owners(&self) -> BTreeMap<String, String> {
        let kept = fs::read(self.folder.join(OWNERS_FILE)).unwrap_or_default();
        serde_json::from_slice(&kept).unwrap_or_default()
    }

    /// Which plugin each exchange type was last seen in.
    pub fn keep_owners(&self, owners: &BTreeMap<String, String>) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(owners)?;
        self.replace(OWNERS_FILE, &[&text])
    }

    /// Atomically: what a crash leaves behind is the old file or none.
    fn replace(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let scratch = format!("{name}.{:016x}", rand::rng().next_u64());
        let scratch = self.folder.join(scratch);
        let written = write_private(&scratch, parts)
            .and_then(|()| fs::rename(&scratch, self.folder.join(name)));
        if written.is_err() {
            // Best effort: the error of the write is the one that matters.
            let _ = fs::remove_file(&scratch);
        }
        written
    }

    fn tag(&self, name: &str, compiled: &[u8]) -> [u8; TAG_BYTES] {
        hmac_sha256(&self.key, &[name.as_bytes(), b"\0", compiled])
    }
}

/// Digest of the source and of everything about the engine that shapes the code.
fn entry_name(engine: &Engine, source: &[u8]) -> String {
    use std::fmt::Write;

    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let mut name = String::with_capacity(96);
    for byte in Sha256::digest(source) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let _ = write!(name, "-{:016x}.cwasm", settings.finish());
    name
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match fs::read(path) {
        Ok(bytes) => {
            if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
                return Ok(key);
            }
            // Cut short by a crash. Entries made with the old key fail their check and are remade.
            fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    write_private(path, &[&key])?;
    Ok(key)
}

fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_data()
}

/// RFC 2104.
fn hmac_sha256(key: &[u8; KEY_BYTES], message: &[&[u8]]) -> [u8; TAG_BYTES] {
    let pad = |with: u8| {
        let mut block = [with; BLOCK_BYTES];
        for (place, byte) in block.iter_mut().zip(key) {
            *place ^= byte;
        }
        block
    };
    let mut inner = Sha256::new().chain_update(pad(0x36));
    for part in message {
        inner.update(part);
    }
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize())
        .finalize()
        .into()
}

/// Without telling by its duration where the first difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |difference, (left, right)| difference | (left ^ right));
    left.len() == right.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_hmac_sha256() {
        // RFC 4231, test case 1, whose key of 20 bytes is the same as one padded with zeroes.
        let mut key = [0; KEY_BYTES];
        key[..20].fill(0x0b);
        let tag = hmac_sha256(&key, &[b"Hi ", b"There"]);
        assert_eq!(tag[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }
}
