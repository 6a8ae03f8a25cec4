//! Forwarding, on the link and on the uplinks only; the host's global switch stays as it is.
//!
//! What an uplink's switch was before the first instance came is kept in the alias of each instance's link
//! (`sampan eth0=0`), where the others see it, and in the instance's record, because a link dies with its namespace while
//! the switches stay. The last instance puts them back.

use std::fs;
use std::path::PathBuf;

use super::NetworkError;
use super::routes::Host;

/// What to open, and what it was before any instance opened it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Vec<(String, bool)>);

impl Plan {
    /// `left`: what this instance wrote down before it died without a stop, if it did.
    pub(super) fn of(host: &Host, link: &str, left: &Self) -> Self {
        let now = |uplink: &str| is_on(uplink).unwrap_or(false);
        Self::from(host, link, left, now)
    }

    fn from(host: &Host, link: &str, left: &Self, now: impl Fn(&str) -> bool) -> Self {
        let before = |uplink: &String| {
            let others = host.siblings.iter().filter(|(name, _)| name != link);
            let told = others.flat_map(|(_, alias)| Self::parse(alias).0).chain(left.0.clone());
            told.into_iter().find(|(name, _)| name == uplink).map_or_else(|| now(uplink), |(_, was)| was)
        };
        Self(host.uplinks.iter().map(|uplink| (uplink.clone(), before(uplink))).collect())
    }

    /// Reads an alias; that of a link which is none of ours is an empty plan.
    pub(super) fn parse(alias: &str) -> Self {
        let mut words = alias.split(' ');
        if words.next() != Some("sampan") {
            return Self(Vec::new());
        }
        let entry = |word: &str| word.split_once('=').map(|(uplink, was)| (uplink.to_owned(), was == "1"));
        Self(words.filter_map(entry).collect())
    }

    /// Puts back what was so before, for every uplink that no other instance uses.
    pub(super) fn restore(&self, host: &Host, link: &str) -> Result<(), NetworkError> {
        for uplink in self.to_close(host, link) {
            if is_on(uplink) == Some(true) {
                switch(uplink, false)?;
            }
        }
        Ok(())
    }

    fn to_close(&self, host: &Host, link: &str) -> Vec<&str> {
        let others = host.siblings.iter().filter(|(name, _)| name != link);
        let used: Vec<(String, bool)> = others.flat_map(|(_, alias)| Self::parse(alias).0).collect();
        let mine =
            self.0.iter().filter(|(uplink, was)| !was && !used.iter().any(|(other, _)| other == uplink));
        mine.map(|(uplink, _)| uplink.as_str()).collect()
    }

    /// The text for the link's alias.
    pub(super) fn alias(&self) -> String {
        let entries = self.0.iter().map(|(uplink, was)| format!(" {uplink}={}", u8::from(*was)));
        format!("sampan{}", entries.collect::<String>())
    }

    /// All uplinks.
    pub(super) fn uplinks(&self) -> Vec<&str> {
        self.0.iter().map(|(uplink, _)| uplink.as_str()).collect()
    }

    /// The uplinks that were closed before any instance came.
    pub(super) fn opened(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, was)| !was).map(|(uplink, _)| uplink.as_str()).collect()
    }

    /// Whether nothing is to be done by [`Plan::apply`].
    pub(super) fn is_applied(&self, link: &str) -> bool {
        self.switches(link).all(|name| is_on(name) != Some(false))
    }

    pub(super) fn apply(&self, link: &str) -> Result<(), NetworkError> {
        for name in self.switches(link) {
            // One that is gone (a USB adapter) forwards nothing.
            if is_on(name) == Some(false) {
                switch(name, true)?;
            }
        }
        Ok(())
    }

    fn switches<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(uplink, _)| uplink.as_str()).chain([link])
    }
}

fn is_on(link: &str) -> Option<bool> {
    fs::read_to_string(path(link)).ok().map(|text| text.trim() == "1")
}

#[expect(clippy::disallowed_methods, reason = "a sysctl takes one write(2) and is no state file")]
fn switch(link: &str, on: bool) -> Result<(), NetworkError> {
    fs::write(path(link), if on { "1" } else { "0" })
        .map_err(|source| NetworkError::Forwarding { link: link.to_owned(), source })
}

fn path(link: &str) -> PathBuf {
    ["/proc/sys/net/ipv4/conf", link, "forwarding"].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(siblings: &[(&str, &str)]) -> Host {
        Host {
            uplinks: vec!["eth0".to_owned()],
            siblings: siblings.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Host::default()
        }
    }

    fn none() -> Plan {
        Plan(Vec::new())
    }

    #[test]
    fn the_first_instance_asks_the_kernel_and_later_ones_the_first() {
        assert_eq!(Plan::from(&host(&[]), "smpnA", &none(), |_| false).alias(), "sampan eth0=0");
        let second = Plan::from(&host(&[("smpnA", "sampan eth0=0")]), "smpnB", &none(), |_| true);
        assert_eq!(second.alias(), "sampan eth0=0");
        assert_eq!(second.opened(), ["eth0"]);
    }

    #[test]
    fn an_instance_that_died_asks_its_own_record() {
        let left = Plan::parse("sampan eth0=0");
        assert_eq!(Plan::from(&host(&[]), "smpnA", &left, |_| true).alias(), "sampan eth0=0");
        assert_eq!(left.to_close(&host(&[]), "smpnA"), ["eth0"]);
    }

    #[test]
    fn only_the_last_instance_closes_what_the_first_opened() {
        let closed = Plan::parse("sampan eth0=0");
        let both = host(&[("smpnA", "sampan eth0=0"), ("smpnB", "sampan eth0=0")]);
        assert!(closed.to_close(&both, "smpnA").is_empty());
        assert_eq!(closed.to_close(&host(&[("smpnB", "sampan eth0=0")]), "smpnB"), ["eth0"]);
        assert!(Plan::parse("sampan eth0=1").to_close(&host(&[]), "smpnB").is_empty());
        assert!(Plan::parse("somebody else's words").to_close(&host(&[]), "smpnB").is_empty());
    }
}
