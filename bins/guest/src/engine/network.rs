//! The guard against a dockerd in the wrong network namespace.

use anyhow::Context;

/// The network namespace that dockerd may change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    inode: Option<u64>,
}

impl Network {
    /// The namespace that the launcher has put this distribution into.
    pub(super) fn from_environment() -> Self {
        Self { inode: std::env::var("SAMPAN_NETNS").ok().and_then(|text| text.parse().ok()) }
    }

    /// dockerd turns forwarding on and rewrites the firewall of the namespace it finds itself in; started in the host's
    /// by mistake it would change the host.
    pub(super) fn check(self) -> anyhow::Result<()> {
        const OWN: &str = "/proc/self/ns/net";
        let expected = self.inode.context(
            "SAMPAN_NETNS does not say which network namespace is docker-desktop's; dockerd is not started in another",
        )?;
        let found = rustix::fs::stat(OWN).with_context(|| format!("cannot read {OWN}"))?.st_ino;
        anyhow::ensure!(
            found == expected,
            "this is network namespace {found}, not docker-desktop's ({expected}); dockerd is not started in it"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn only_the_named_namespace_will_do() {
        let own = rustix::fs::stat("/proc/self/ns/net").unwrap().st_ino;
        assert!(Network { inode: Some(own) }.check().is_ok());
        assert!(Network { inode: Some(own + 1) }.check().is_err());
        assert!(Network { inode: None }.check().is_err());
    }
}
