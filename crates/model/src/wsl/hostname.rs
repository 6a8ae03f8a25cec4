//! Host names of distributions.

/// The name of a distribution whose wanted name has nothing usable.
pub const DEFAULT: &str = "localhost";

/// Makes a host name of `wanted`: letters and digits, single hyphens between them, one dot at most, 64
/// characters at most (gethostname(2)). What does not fit is left out. Rule: microsoft/WSL
/// `src/shared/inc/stringshared.h`, `CleanHostname`.
pub fn clean(wanted: &str) -> String {
    let mut name = String::new();
    for character in wanted.chars() {
        let fits = match character {
            '.' => !name.is_empty() && !name.ends_with('-') && !name.contains('.'),
            '-' => !name.is_empty() && !name.ends_with(['-', '.']),
            _ => character.is_ascii_alphanumeric(),
        };
        if fits {
            name.push(character);
        }
    }
    name.truncate(64);
    name.truncate(name.trim_end_matches(['-', '.']).len());
    if name.is_empty() { DEFAULT.to_owned() } else { name }
}
