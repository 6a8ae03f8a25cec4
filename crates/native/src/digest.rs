//! Fingerprints of files.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// The SHA-256 of all that is still to be read.
pub(crate) fn sha256(mut file: impl Read) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}
