//! Forwarding, on the link and on the uplinks only; the host's global switch stays as it is.
//!
//! What an uplink's switch was before the first instance came is kept in the alias of each instance's link
//! (`sampan eth0=0`): in the kernel, so that it is there exactly as long as the change. The last instance puts it back.

use std::fs;
use std::path::PathBuf;

use super::NetworkError;
use super::routes::Host;

/// What to open, and what it was before any instance opened it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan(Vec<(String, bool)>);

impl Plan {
    pub(super) fn of(host: &Host, link: &str) -> Self {
        let now = |uplink: &str| is_on(uplink).unwrap_or(false);
        Self::from(host, link, now)
    }

    fn from(host: &Host, link: &str, now: impl Fn(&str) -> bool) -> Self {
        let before = |uplink: &String| {
            let told = host.siblings.iter().filter(|(name, _)| name != link);
            let told = told.flat_map(|(_, alias)| parse(alias).0);
            told.into_iter().find(|(name, _)| name == uplink).map_or_else(|| now(uplink), |(_, was)| was)
        };
        Self(host.uplinks.iter().map(|uplink| (uplink.clone(), before(uplink))).collect())
    }

    /// What `link` was set up with.
    pub(super) fn recorded(host: &Host, link: &str) -> Self {
        let own = host.siblings.iter().find(|(name, _)| name == link);
        own.map_or(Self(Vec::new()), |(_, alias)| parse(alias))
    }

    /// The text for the link's alias.
    pub(super) fn alias(&self) -> String {
        let entries = self.0.iter().map(|(uplink, was)| format!(" {uplink}={}", u8::from(*was)));
        format!("sampan{}", entries.collect::<String>())
    }

    /// The uplinks that were closed before any instance came.
    pub(super) fn opened(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, was)| !was).map(|(uplink, _)| uplink.as_str()).collect()
    }

    pub(super) fn apply(&self, link: &str) -> Result<(), NetworkError> {
        for uplink in self.0.iter().map(|(uplink, _)| uplink.as_str()).chain([link]) {
            if !is_on(uplink).unwrap_or(false) {
                switch(uplink, true)?;
            }
        }
        Ok(())
    }
}

/// Puts back what `link`'s alias tells, for every uplink that no other instance uses.
pub(super) fn restore(host: &Host, link: &str) -> Result<(), NetworkError> {
    for uplink in to_close(host, link) {
        if is_on(&uplink) == Some(true) {
            switch(&uplink, false)?;
        }
    }
    Ok(())
}

fn to_close(host: &Host, link: &str) -> Vec<String> {
    let (own, others): (Vec<_>, Vec<_>) = host.siblings.iter().partition(|(name, _)| name == link);
    let used: Vec<(String, bool)> = others.iter().flat_map(|(_, alias)| parse(alias).0).collect();
    own.iter()
        .flat_map(|(_, alias)| parse(alias).0)
        .filter(|(uplink, was)| !was && !used.iter().any(|(other, _)| other == uplink))
        .map(|(uplink, _)| uplink)
        .collect()
}

fn parse(alias: &str) -> Plan {
    let mut words = alias.split(' ');
    if words.next() != Some("sampan") {
        return Plan(Vec::new());
    }
    let entry = |word: &str| word.split_once('=').map(|(uplink, was)| (uplink.to_owned(), was == "1"));
    Plan(words.filter_map(entry).collect())
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

    #[test]
    fn the_first_instance_asks_the_kernel_and_later_ones_the_first() {
        assert_eq!(Plan::from(&host(&[]), "smpnA", |_| false).alias(), "sampan eth0=0");
        let second = Plan::from(&host(&[("smpnA", "sampan eth0=0")]), "smpnB", |_| true);
        assert_eq!(second.alias(), "sampan eth0=0");
        assert_eq!(second.opened(), ["eth0"]);
    }

    #[test]
    fn only_the_last_instance_closes_what_the_first_opened() {
        let both = host(&[("smpnA", "sampan eth0=0"), ("smpnB", "sampan eth0=0")]);
        assert!(to_close(&both, "smpnA").is_empty());
        assert_eq!(to_close(&host(&[("smpnB", "sampan eth0=0")]), "smpnB"), ["eth0"]);
        assert!(to_close(&host(&[("smpnB", "sampan eth0=1")]), "smpnB").is_empty());
        assert!(to_close(&host(&[("smpnB", "somebody else's words")]), "smpnB").is_empty());
    }
}
