//! Where the engine sees the trees of those who ask it for containers.
//!
//! Each has one permanent place: a mount per container would be gone when dockerd restarts containers by itself, and
//! their folders with it.

/// The folder inside `docker-desktop` that holds one view per distribution, by its GUID, and the host's.
pub const VIEWS: &str = "/views";

/// The name of the host's view.
pub const HOST: &str = "host";

/// The path in the view `name` of a path that is absolute in the tree it shows.
pub fn seen(name: &str, path: &str) -> String {
    match path {
        "/" => format!("{VIEWS}/{name}"),
        path => format!("{VIEWS}/{name}{path}"),
    }
}

/// The inverse of [`seen`]; none for a path outside the view.
pub fn shown<'a>(name: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(VIEWS)?.strip_prefix('/')?.strip_prefix(name)?;
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for path in ["/", "/home/u", "/a b/ü:x"] {
            assert_eq!(shown("host", &seen("host", path)), Some(path));
        }
        assert_eq!(seen("g", "/srv"), "/views/g/srv");
        for foreign in
            ["/views/hosts/x", "/views/g/x", "/view/host", "/", "/views/host2", "/srv/views/host/x"]
        {
            assert_eq!(shown("host", foreign), None, "{foreign}");
        }
    }
}
