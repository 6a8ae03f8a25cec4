//! Addresses of archives.

use std::path::PathBuf;

/// The path in a `file://` address, none in any other. It is taken as it is written: `%20` is no blank.
///
/// Unlike on Windows, where the third slash is skipped, an absolute path begins with it.
pub fn file_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://")?;
    Some(match path.strip_prefix("localhost") {
        Some(absolute) if absolute.starts_with('/') => absolute.into(),
        _ => path.into(),
    })
}

/// What to call the file behind an address: its last segment, without query and fragment. None if there is no
/// such name, or it would be no name of a file.
pub fn file_name(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    (!matches!(name, "" | "." | "..") && !name.contains('\0')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_ends_before_the_query() {
        for (url, name) in [
            ("https://example.org/a/distro.tar", Some("distro.tar")),
            ("https://example.org/distro.tar?foo=a/b#c/d", Some("distro.tar")),
            ("https://example.org/a/", None),
            ("https://example.org?x=/y", None),
            ("https://example.org/..", None),
            ("example.org/x", None),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }

    #[test]
    fn localhost_is_no_folder() {
        assert_eq!(file_path("file://localhost/x"), Some("/x".into()));
        assert_eq!(file_path("file://localhost.tar"), Some("localhost.tar".into()));
    }
}
