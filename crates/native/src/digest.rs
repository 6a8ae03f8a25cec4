//! Fingerprints of files.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// The SHA-256 of the rest of a file.
pub(crate) fn sha256(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}
