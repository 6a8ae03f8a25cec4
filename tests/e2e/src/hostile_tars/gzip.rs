//! Gzip streams, byte by byte (RFC 1951, RFC 1952).

/// A gzip file that holds `bytes` as they are.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = head();
    let mut rest = bytes;
    loop {
        let (block, next) = rest.split_at(rest.len().min(0xffff));
        let length = u16::try_from(block.len()).expect("a block is short");
        stream.push(u8::from(next.is_empty()));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
        rest = next;
        if rest.is_empty() {
            break;
        }
    }
    stream.extend_from_slice(&crc32(bytes).to_le_bytes());
    stream.extend_from_slice(&u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(0).to_le_bytes());
    stream
}

/// A gzip file that is cut off after `start` and at least `zeroes` more zero bytes: 150 of them for each byte of it.
pub(super) fn bomb(start: &[u8], zeroes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // One block with the fixed codes, the last one.
    bits.put(1, 1);
    bits.put(1, 2);
    for byte in start.iter().chain(&[0]) {
        bits.literal(*byte);
    }
    for _ in 0..zeroes.div_ceil(258) {
        // Length 258 (symbol 285, eight bits), distance 1 (code 0, five bits).
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    [head(), bits.bytes].concat()
}

fn head() -> Vec<u8> {
    vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    };
    !bytes.iter().fold(!0, step)
}

/// Bits, the first in the lowest place of a byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn bit(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit & 1 == 1) << (self.used % 8);
        }
        self.used += 1;
    }

    /// A number: lowest bit first.
    fn put(&mut self, value: u32, count: u32) {
        (0..count).for_each(|place| self.bit(value >> place));
    }

    /// A code: highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        (0..count).rev().for_each(|place| self.bit(code >> place));
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            0..=143 => self.code(0x30 + u32::from(byte), 8),
            144.. => self.code(0x190 + u32::from(byte - 144), 9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
