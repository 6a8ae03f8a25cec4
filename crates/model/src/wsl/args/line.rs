//! Words for a shell.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// The line for `$SHELL -c` that means `words`.
///
/// One word is a line already, as for `ssh` and `sh -c`: `wsl 'cd /srv && ls'`. Several words are a program with its
/// arguments, of which each has to arrive as it is: those that the shell would read otherwise are put in quotes.
pub fn shell_line(words: &[OsString]) -> Vec<u8> {
    if let [line] = words {
        return line.as_bytes().to_vec();
    }
    let quoted: Vec<Vec<u8>> = words.iter().map(|word| quote(word.as_bytes())).collect();
    quoted.join(&b' ')
}

/// `word` such that every POSIX shell, and fish, reads it back as one word.
fn quote(word: &[u8]) -> Vec<u8> {
    // zsh replaces `=ls` by the path of ls.
    if !word.is_empty() && word.iter().all(|byte| is_plain(*byte)) && !word.starts_with(b"=") {
        return word.to_vec();
    }
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            // Fish reads `\` as an escape also in single quotes.
            b'\'' | b'\\' => quoted.extend_from_slice(&[b'\'', b'\\', *byte, b'\'']),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'=' | b'@' | b',' | b'+')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn line(words: &[&str]) -> String {
        String::from_utf8(shell_line(&words.iter().map(OsString::from).collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn one_word_is_a_line() {
        assert_eq!(line(&["cd /x && echo \"$USER\""]), "cd /x && echo \"$USER\"");
        assert_eq!(line(&[""]), "");
    }

    #[test]
    fn several_words_stay_words() {
        for (words, expected) in [
            (&["ls", "-la", "/srv/a.b"][..], "ls -la /srv/a.b"),
            (&["echo", "a b"], "echo 'a b'"),
            (&["echo", "a", "", "b"], "echo a '' b"),
            (&["ls", "*.txt"], "ls '*.txt'"),
            (&["echo", "$USER", "~", "it's", "a\nb"], "echo '$USER' '~' 'it'\\''s' 'a\nb'"),
            (&["A=b", "env"], "A=b env"),
            (&["printf", "a\\", "\\n"], r"printf 'a'\\'' ''\\'n'"),
            (&["ls", "=ls"], "ls '=ls'"),
        ] {
            assert_eq!(line(words), expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_survive() {
        let words = [OsString::from("cat"), OsString::from_vec(b"a\xff".to_vec())];
        assert_eq!(shell_line(&words), b"cat 'a\xff'");
    }
}
