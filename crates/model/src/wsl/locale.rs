//! `LANG` of a distribution, by its own locale files. Rule: microsoft/WSL `src/linux/init/config.cpp`,
//! `ConfigUpdateLanguage`.

/// The files, in the order in which they are looked for. The first that exists is the only one read.
pub const FILES: [&str; 2] = ["/etc/default/locale", "/etc/locale.conf"];

/// `LANG` of the texts of [`FILES`]; nothing for a file that is not there. The last line that sets it counts.
pub fn lang(texts: [Option<&str>; 2]) -> Option<String> {
    let text = texts.into_iter().flatten().next()?;
    text.lines().filter_map(assignment).next_back()
}

/// The value in `LANG=…` or `export LANG=…`.
fn assignment(line: &str) -> Option<String> {
    let line = line.split('#').next().unwrap_or_default();
    let start = line
        .match_indices("LANG=")
        .find(|(at, _)| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    let value = line[start?.0..].trim_start_matches("LANG=").trim();
    Some(unescape_shell(value)).filter(|value| !value.contains('\0'))
}

/// The text that a shell makes of one word: quotes removed, escapes resolved. One that is not complete stays
/// as it is.
pub fn unescape_shell(word: &str) -> String {
    unescaped(word).unwrap_or_else(|| word.to_owned())
}

fn unescaped(word: &str) -> Option<String> {
    let mut plain = String::new();
    let mut quote = None;
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => match (quote, characters.next()?) {
                (_, '\n') => {}
                (None, escaped) | (_, escaped @ ('"' | '\\' | '$' | '`')) => plain.push(escaped),
                (_, other) => plain.extend(['\\', other]),
            },
            (_, other) => plain.push(other),
        }
    }
    quote.is_none().then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_assignments_count() {
        let text = "# LANG=no\nLANGUAGE=de\nMYLANG=no\nLANG=\nexport LANG=\"de_AT.UTF-8\" # yes\n";
        assert_eq!(lang([Some(text), Some("LANG=x")]).as_deref(), Some("de_AT.UTF-8"));
        assert_eq!(lang([Some("LANGUAGE=de\n"), Some("LANG=x")]), None);
        assert_eq!(lang([None, None]), None);
        assert_eq!(lang([Some("LANG=a\0b"), None]), None);
    }

    #[test]
    fn quotes_and_escapes_as_a_shell_has_them() {
        for (word, plain) in [
            (r#""double quoted""#, "double quoted"),
            ("'literal \\ value'", "literal \\ value"),
            (r"escaped\ value\q", "escaped valueq"),
            (r#""a\"b\\c\$d\`e\f""#, r#"a"b\c$d`e\f"#),
            ("abc\\\nedf", "abcedf"),
            ("\"it's\"", "it's"),
            ("unterminated'", "unterminated'"),
            ("trailing\\", "trailing\\"),
        ] {
            assert_eq!(unescape_shell(word), plain, "{word}");
        }
    }
}
