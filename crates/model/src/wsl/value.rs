//! Values that options of `wsl` take: booleans, sizes, versions, identities, names.
//!
//! Grammar: microsoft/WSL `src/shared/inc/stringshared.h` and `src/windows/common/WslClient.cpp`, but whole words only:
//! there `2abc` is taken for 2, here it is no version.

use crate::distro::Guid;

/// `true`, `false`, `1` or `0`, whatever the case.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number of bytes: digits and, at will, one of `B K KB M MB G GB T TB`, which are powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    digits.parse::<u64>().ok()?.checked_mul(unit_of_bytes(unit)?)
}

/// How many bytes a unit has: `B K KB M MB G GB T TB`, or none, which is bytes.
pub fn unit_of_bytes(unit: &str) -> Option<u64> {
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        "T" | "TB" => 40,
        _ => return None,
    };
    Some(1 << shift)
}

/// A number without sign.
pub fn integer(text: &str) -> Option<u32> {
    // `u32::from_str` takes a leading `+`.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Version of a distribution: 1 or 2.
pub fn version(text: &str) -> Option<u8> {
    match text {
        "1" => Some(1),
        "2" => Some(2),
        _ => None,
    }
}

/// Identity of a distribution, with or without braces, whatever the case.
pub fn guid(text: &str) -> Option<Guid> {
    let bare = text.strip_prefix('{').map_or(Some(text), |inner| inner.strip_suffix('}'))?;
    bare.to_ascii_lowercase().parse().ok()
}

/// Whether a new distribution may have this name: 1 to 256 of `A-Z a-z 0-9 . _ -`.
///
/// Beside `Legacy`, which wsl.exe refuses too, `.` and `..` are refused: the name is used in paths.
pub fn is_distribution_name(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !text.eq_ignore_ascii_case("Legacy")
        && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_do_not_overflow_and_have_no_sign() {
        assert_eq!(size("16777215T"), Some(16_777_215 << 40));
        for bad in ["16777216T", "18446744073709551616", "-1", "+1", "", "G", "1.5G", "1GiB", "1gb", "1 G"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn integers_have_no_sign() {
        assert_eq!(integer("12"), Some(12));
        for bad in ["", "+1", "-1", "1a", "4294967296"] {
            assert_eq!(integer(bad), None, "{bad}");
        }
    }

    #[test]
    fn versions_are_whole_words() {
        assert_eq!((version("1"), version("2")), (Some(1), Some(2)));
        for bad in ["", "0", "3", "2abc", "2.5", " 2", "02"] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_distributions() {
        let longest = "a".repeat(256);
        for good in ["Ubuntu-24.04", "a", "my_distro", longest.as_str()] {
            assert!(is_distribution_name(good), "{good}");
        }
        let too_long = "a".repeat(257);
        for bad in ["", "invalid!", "a b", "a/b", "é", "Legacy", "legacy", ".", "..", too_long.as_str()] {
            assert!(!is_distribution_name(bad), "{bad}");
        }
    }
}
