//! Keys, and the types that their values have.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Warning;
use crate::wsl::value::unit_of_bytes;

/// A known key of the configuration `C`.
#[derive(Debug)]
pub struct Key<C> {
    /// Its names as `section.key`, the one for new lines first. All of them mean the same key.
    pub names: &'static [&'static str],
    /// Where its value is kept; none for a key that is accepted and forgotten.
    pub slot: Option<fn(&mut C) -> &mut dyn Slot>,
}

impl<C> Key<C> {
    /// Whether `name` is one of its names, in any case.
    pub fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A key whose value is kept where `slot` points.
pub const fn key<C>(names: &'static [&'static str], slot: fn(&mut C) -> &mut dyn Slot) -> Key<C> {
    Key { names, slot: Some(slot) }
}

/// A key that gives no warning and does nothing.
pub const fn accepted<C>(names: &'static [&'static str]) -> Key<C> {
    Key { names, slot: None }
}

/// A place for the value of a key.
pub trait Slot {
    /// Takes the value of `entry`. Says whether it is valid; if not, there is a warning and the slot is as it
    /// was.
    fn read(&mut self, entry: &mut Entry<'_>) -> bool;

    /// The value as it would be written, unescaped; empty if there is none.
    fn write(&self) -> String;
}

/// A value that is being read, and where it stands.
#[derive(Debug)]
pub struct Entry<'a> {
    /// `section.key`, as written.
    pub name: &'a str,
    /// Without quotes, escapes and outer blanks.
    pub value: &'a str,
    /// The file, for warnings.
    pub path: &'a str,
    /// The line, for warnings.
    pub line: usize,
    /// Where warnings go.
    pub warnings: &'a mut Vec<Warning>,
}

impl Entry<'_> {
    /// Warns that the value is no valid `what`, e.g. `boolean value`.
    pub fn invalid(&mut self, what: &str) {
        let Self { name, value, path, line, .. } = self;
        let message = format!("Invalid {what} '{value}' for key '{name}' in {path}:{line}");
        self.warnings.push(Warning { line: Some(self.line), message });
    }

    /// Takes one of `choices`, in any case, into `slot`.
    pub fn choose<T: Copy>(&mut self, choices: &[(&str, T)], slot: &mut T) -> bool {
        if let Some((_, choice)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(self.value)) {
            *slot = *choice;
            return true;
        }
        let Self { name, value, path, line, .. } = self;
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "Invalid value '{value}' for config key '{name}' in {path}:{line} (Valid values: {})",
            names.join(", ")
        );
        self.warnings.push(Warning { line: Some(self.line), message });
        false
    }

    fn take<T>(&mut self, parsed: Option<T>, what: &str, slot: &mut T) -> bool {
        let valid = parsed.is_some();
        match parsed {
            Some(value) => *slot = value,
            None => self.invalid(what),
        }
        valid
    }
}

/// `true`, `false`, `1` or `0`.
impl Slot for bool {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        let parsed = match entry.value {
            "1" => Some(true),
            "0" => Some(false),
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        entry.take(parsed, "boolean value", self)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Decimal, or octal after `0`, or hexadecimal after `0x`.
impl Slot for i32 {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        entry.take(integer(entry.value), "integer value", self)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// An integer, where a negative one means the same as 0.
impl Slot for u32 {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        let parsed = integer(entry.value).map(|number| u32::try_from(number).unwrap_or(0));
        entry.take(parsed, "integer value", self)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// A number of bytes, with `B`, `K`, `KB`, `M`, `MB`, `G`, `GB`, `T` or `TB` behind it.
impl Slot for u64 {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        if let Some(parsed) = size(entry.value) {
            *self = parsed;
            return true;
        }
        let Entry { name, value, path, line, .. } = entry;
        let message =
            format!("Invalid memory string '{value}' for .wslconfig entry '{name}' in {path}:{line}");
        entry.warnings.push(Warning { line: Some(entry.line), message });
        false
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// Any text.
impl Slot for String {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        entry.value.clone_into(self);
        true
    }

    fn write(&self) -> String {
        self.clone()
    }
}

/// An IPv4 address in the dotted form. A wrong one leaves none, not the default.
impl Slot for Option<Ipv4Addr> {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        *self = entry.value.parse().ok();
        if self.is_none() {
            entry.invalid("IP value");
        }
        self.is_some()
    }

    fn write(&self) -> String {
        self.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// Ports, separated by commas. What is none of them is left out, each with a warning; only the digits at the
/// beginning of each count.
impl Slot for BTreeSet<u16> {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        self.clear();
        for part in entry.value.split(',').filter(|part| !part.is_empty()) {
            match port(part) {
                Some(port) => _ = self.insert(port),
                None => entry.invalid("integer value"),
            }
        }
        true
    }

    fn write(&self) -> String {
        let ports: Vec<String> = self.iter().map(u16::to_string).collect();
        ports.join(",")
    }
}

/// A value that may be missing.
macro_rules! optional {
    ($($inner:ty),*) => {$(
        impl Slot for Option<$inner> {
            fn read(&mut self, entry: &mut Entry<'_>) -> bool {
                let mut value = <$inner>::default();
                let valid = value.read(entry);
                if valid {
                    *self = Some(value);
                }
                valid
            }

            fn write(&self) -> String {
                self.as_ref().map(Slot::write).unwrap_or_default()
            }
        }
    )*};
}
optional!(String, i32, Milliseconds);

/// A time to wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milliseconds(
    /// How many; a negative number is for ever.
    pub i32,
);

impl Milliseconds {
    /// How long to wait; none for ever.
    pub fn duration(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_millis)
    }
}

impl Slot for Milliseconds {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        self.0.read(entry)
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

/// As `strtol` with base 0 reads it, if it reads it to the end.
fn integer(text: &str) -> Option<i32> {
    let (negative, digits) = sign(text);
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    i32::try_from(if negative { -number } else { number }).ok()
}

/// As WSL reads it with `strtoull`: without any check of sign or overflow.
fn size(text: &str) -> Option<u64> {
    let (negative, rest) = sign(text);
    let (digits, unit) = rest.split_at(digits(rest));
    let number = match digits.parse::<u64>() {
        Ok(number) if negative => number.wrapping_neg(),
        Ok(number) => number,
        Err(_) if digits.is_empty() => return None,
        Err(_) => u64::MAX,
    };
    // Zero has one form only, so that what is no number is not taken for it.
    if number == 0 && !(text.starts_with('0') && digits.len() == 1) {
        return None;
    }
    Some(number.wrapping_mul(unit_of_bytes(unit)?))
}

/// As `stoi` reads it: what follows the digits does not count.
fn port(text: &str) -> Option<u16> {
    let (negative, rest) = sign(text);
    rest[..digits(rest)].parse().ok().filter(|port| !negative && *port != 0)
}

/// Takes blanks and a sign from the front, as C's number functions do. True for a minus.
fn sign(text: &str) -> (bool, &str) {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// How many digits are at the front.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_c_s() {
        for (text, number) in [
            ("10", Some(10)),
            ("0x1f", Some(31)),
            ("-0X10", Some(-16)),
            ("017", Some(15)),
            ("0", Some(0)),
            (" +7", Some(7)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("99999999999999999999", None),
            ("089", None),
            ("9z", None),
            ("0x", None),
            ("--1", None),
            ("-", None),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(integer(text), number, "{text:?}");
        }
    }

    #[test]
    fn sizes_have_upper_case_units_and_no_decimals() {
        for (text, bytes) in [
            ("1", Some(1)),
            (" 1", Some(1)),
            ("1K", Some(1 << 10)),
            ("100MB", Some(100 << 20)),
            ("9G", Some(9 << 30)),
            ("2T", Some(2 << 40)),
            ("0GB", Some(0)),
            ("-1", Some(u64::MAX)),
            ("99999999999999999999", Some(u64::MAX)),
            ("1 B", None),
            ("1.5GB", None),
            ("8gb", None),
            ("1KiB", None),
            ("00", None),
            ("-0", None),
            ("", None),
            ("MB", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn a_negative_time_is_for_ever() {
        assert_eq!(Milliseconds(-1).duration(), None);
        assert_eq!(Milliseconds(1500).duration(), Some(Duration::from_millis(1500)));
    }
}
