//! Section 10: small values.

use std::fmt::Debug;

use sampan_model::wsl::error::Failure;
use sampan_model::wsl::manifest::{ChecksumError, bytes_of_hex, hex_of_bytes};
use sampan_model::wsl::{locale, value};

use crate::table::Mark::L;
use crate::table::Place::{Here, NotMet};
use crate::table::{Place, check};

/// How a text is read, and texts with what each is read as.
struct Case {
    read: fn(&str) -> String,
    texts: &'static [(&'static str, &'static str)],
}

type Texts = &'static [(&'static str, &'static str)];

fn shown<T: Debug>(value: Option<T>) -> String {
    value.map_or_else(|| "invalid".to_owned(), |value| format!("{value:?}"))
}

fn boolean(texts: Texts) -> Place<Case> {
    Here(Case { read: |text| shown(value::boolean(text)), texts })
}

fn size(texts: Texts) -> Place<Case> {
    Here(Case { read: |text| shown(value::size(text)), texts })
}

fn guid(texts: Texts) -> Place<Case> {
    Here(Case { read: |text| value::guid(text).map_or("invalid".to_owned(), |guid| guid.to_string()), texts })
}

fn unescape(texts: Texts) -> Place<Case> {
    Here(Case { read: locale::unescape_shell, texts })
}

/// Read and written again; a text that is none by its code.
fn hex(texts: Texts) -> Place<Case> {
    let read = |text: &str| match bytes_of_hex(text) {
        Ok(bytes) => hex_of_bytes(&bytes),
        Err(error) => Failure::from(ChecksumError::Invalid(error)).code.name().to_owned(),
    };
    Here(Case { read, texts })
}

const GUID: &str = "1234567a-1234-5678-1234-567812345678";
const NOT_READ: &str = "nothing in Sampan reads such a value";
const MAC: &str = "no adapter of a virtual machine has to be given a MAC address, so none is read";

#[test]
fn section_10_small_values() {
    let rows = [
        ("V01", L, boolean(&[("1", "true")])),
        ("V02", L, boolean(&[("0", "false")])),
        ("V04", L, boolean(&[("false", "false")])),
        ("V05", L, boolean(&[("True", "true")])),
        (
            "V07",
            L,
            // A value that is not there is `None` before anything reads it.
            boolean(&[
                ("t", "invalid"),
                ("f", "invalid"),
                ("T", "invalid"),
                ("F", "invalid"),
                ("", "invalid"),
                ("2", "invalid"),
                ("true_", "invalid"),
                ("false_", "invalid"),
            ]),
        ),
        ("V08", L, NotMet(NOT_READ)),
        ("V10", L, size(&[("1", "1")])),
        ("V11", L, size(&[(" 1", "1")])),
        ("V13", L, size(&[("1K", "1024")])),
        ("V14", L, size(&[("1KB", "1024")])),
        ("V16", L, size(&[("100MB", "104857600")])),
        ("V17", L, size(&[("9G", "9663676416")])),
        ("V19", L, size(&[("1TB", "1099511627776")])),
        ("V20", L, size(&[("2T", "2199023255552")])),
        ("V22", L, guid(&[("{1234567a-1234-5678-1234-567812345678}", GUID), (GUID, GUID)])),
        (
            "V23",
            L,
            guid(&[
                ("", "invalid"),
                ("foo", "invalid"),
                ("1234567G-1234-5678-1234-5678123456789", "invalid"),
                ("{1234567a-1234-5678-1234-567812345678", "invalid"),
                ("1234567a-1234-5678-1234-567812345678}", "invalid"),
                ("{1234567aB-1234-5678-1234-567812345678}", "invalid"),
            ]),
        ),
        ("V25", L, NotMet(NOT_READ)),
        ("V26", L, unescape(&[("\"\"", "")])),
        ("V28", L, unescape(&[("\"double quoted\"", "double quoted")])),
        ("V29", L, unescape(&[("'single quoted'", "single quoted")])),
        ("V31", L, unescape(&[(r"escaped\ value", "escaped value")])),
        ("V32", L, unescape(&[(r"escaped\q", "escapedq")])),
        ("V34", L, unescape(&[("abc\\\nedf", "abcedf")])),
        ("V35", L, unescape(&[("\"abc\\\nedf\"", "abcedf")])),
        ("V37", L, unescape(&[(r#""escaped \"quote\" and \\ slash""#, r#"escaped "quote" and \ slash"#)])),
        ("V38", L, unescape(&[(r#""escaped \$dollar and \`backtick""#, "escaped $dollar and `backtick")])),
        ("V40", L, unescape(&[(r"'literal \ value'", r"literal \ value")])),
        ("V41", L, unescape(&[("unterminated'", "unterminated'")])),
        ("V43", L, unescape(&[("trailing\\", "trailing\\")])),
        ("V44", L, unescape(&[("\"trailing\\", "\"trailing\\")])),
        ("V46", L, NotMet(MAC)),
        ("V47", L, NotMet(MAC)),
        ("V49", L, NotMet(MAC)),
        ("V50", L, NotMet(MAC)),
        ("V52", L, NotMet(MAC)),
        ("V53", L, NotMet(MAC)),
        ("V55", L, NotMet(MAC)),
        ("V56", L, hex(&[("", "0x"), ("0F", "0x0f"), ("DEADBEEF", "0xdeadbeef")])),
        ("V58", L, hex(&[("0xabc", "E_INVALIDARG"), ("0xZZ", "E_INVALIDARG")])),
    ];
    check(10, (39, 0), &rows, |id, case| {
        for (text, expected) in case.texts {
            assert_eq!((case.read)(text), *expected, "{id}: {text:?}");
        }
    });
}
