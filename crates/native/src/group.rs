//! The group whose members may use an instance. Read from the file: static programs have no name service.

/// Members may talk to the engine, which makes them as powerful as root.
pub const GROUP: &str = "sampan";

/// The number of a group in `/etc/group`, if there is such a group.
pub fn gid_of(name: &str) -> Option<u32> {
    parse(&std::fs::read_to_string("/etc/group").ok()?, name)
}

/// The number of a group in the text of a file of group(5).
pub(crate) fn parse(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups_are_found_by_whole_name() {
        let table = "root:x:0:\nsampan2:x:7:\nbad\nsampan:x:998:a,b\n";
        assert_eq!(super::parse(table, "sampan"), Some(998));
        assert_eq!(super::parse(table, "samp"), None);
        assert_eq!(super::parse(table, "bad"), None);
    }
}
