//! The user's settings. Keys and defaults follow Docker Desktop's settings-store.json where that has them.

use std::path::{Component, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::gateway::{HiddenRecords, HostLoopback};
use crate::network::Subnet;
use crate::ports::PortBinding;
use crate::proxies::{ContainersProxyMode, Exclusions, ProxyMode, ProxyUrl};

/// What `settings.json` holds. A missing key has its default; an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// How long the engine may take to start, in seconds.
    pub lifecycle_timeout_seconds: u32,
    /// The largest size of the disk of `docker-desktop-data`, in MiB. It takes only what is used.
    pub disk_size_mib: u64,
    /// The network between host and distributions, e.g. `192.168.65.0/24`; without it the first free one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpnkit_cidr: Option<Subnet>,
    /// Where ports are listened for that containers publish without a host address.
    pub port_binding_behavior: PortBinding,
    /// Whether published ports are forwarded by the kernel where it can, so that containers see who their clients are.
    pub keep_client_addresses: bool,
    /// Whether what containers of the network `host` listen at is reached on the host.
    pub host_networking_enabled: bool,
    /// Kinds of addresses that no name is said to have inside.
    pub dns_inhibition: HiddenRecords,
    /// Ports of the host's loopback that are reached as `host.docker.internal`: `all`, `off`, or a list.
    pub host_loopback: HostLoopback,
    /// Where the proxies are said by which the web is reached.
    pub proxy_http_mode: ProxyMode,
    /// The proxy for `http://…`, when they are said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_proxy_http: Option<ProxyUrl>,
    /// The proxy for `https://…`, when they are said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_proxy_https: Option<ProxyUrl>,
    /// What is reached without them, when they are said here: names, addresses and networks, separated by commas.
    pub override_proxy_exclude: Exclusions,
    /// Whether containers and distributions reach the web by them, too.
    pub containers_proxy_http_mode: ContainersProxyMode,
    /// Folders of the host that distributions see. One that is not there is left out.
    pub filesharing_directories: Vec<PathBuf>,
    /// Whether `docker` works in the default distribution, whichever that is.
    pub enable_integration_with_default_wsl_distro: bool,
    /// The other distributions in which `docker` works, by name.
    pub integrated_wsl_distros: Vec<String>,
    /// Where the list of distributions that can be installed is: `https://…`, `http://…` or `file:///…`.
    pub distribution_list_url: String,
    /// A list of the user's own, whose entries go before those of the other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution_list_url_append: Option<String>,
}

/// The list that Microsoft and the makers of distributions keep.
const DISTRIBUTION_LIST: &str =
    "https://raw.githubusercontent.com/microsoft/WSL/master/distributions/DistributionInfo.json";

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifecycle_timeout_seconds: 600,
            disk_size_mib: 1024 * 1024,
            vpnkit_cidr: None,
            port_binding_behavior: PortBinding::default(),
            keep_client_addresses: false,
            host_networking_enabled: true,
            dns_inhibition: HiddenRecords::default(),
            host_loopback: HostLoopback::default(),
            proxy_http_mode: ProxyMode::default(),
            override_proxy_http: None,
            override_proxy_https: None,
            override_proxy_exclude: Exclusions::default(),
            containers_proxy_http_mode: ContainersProxyMode::default(),
            filesharing_directories: vec![PathBuf::from("/home"), PathBuf::from("/tmp")],
            enable_integration_with_default_wsl_distro: true,
            integrated_wsl_distros: Vec::new(),
            distribution_list_url: DISTRIBUTION_LIST.to_owned(),
            distribution_list_url_append: None,
        }
    }
}

impl Document for Settings {
    const FILE: &'static str = "settings.json";
    const SCHEMA: u64 = 1;
}

/// One thing that is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The key.
    pub field: String,
    /// What is wrong, and what is right.
    pub message: String,
}

impl Settings {
    /// Everything that is wrong, not only the first.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        };
        if !(10..=86_400).contains(&self.lifecycle_timeout_seconds) {
            wrong("lifecycleTimeoutSeconds", "must be between 10 and 86400");
        }
        if !(1024..=16 * 1024 * 1024).contains(&self.disk_size_mib) {
            wrong("diskSizeMib", "must be between 1024 (1 GiB) and 16777216 (16 TiB)");
        }
        for folder in &self.filesharing_directories {
            let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
            if !folder.is_absolute() || !folder.components().all(plain) || folder.parent().is_none() {
                let message =
                    format!("`{}` must be an absolute path without `..`, and not `/`", folder.display());
                wrong("filesharingDirectories", &message);
            }
        }
        let lists = [
            ("distributionListUrl", Some(&self.distribution_list_url)),
            ("distributionListUrlAppend", self.distribution_list_url_append.as_ref()),
        ];
        for (field, url) in lists {
            if let Some(url) = url
                && !["https://", "http://", "file:///"].iter().any(|start| url.starts_with(start))
            {
                wrong(field, &format!("`{url}` must begin with https://, http:// or file:///"));
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse, render, render_change};

    #[test]
    fn missing_keys_have_defaults_and_unknown_ones_are_refused() {
        assert_eq!(parse::<Settings>("{\"schemaVersion\":1}").unwrap(), Settings::default());
        assert!(parse::<Settings>("{\"schemaVersion\":1,\"lifeCycle\":1}").is_err());
        assert_eq!(parse::<Settings>(&render(&Settings::default())).unwrap(), Settings::default());
    }

    #[test]
    fn only_what_changed_is_written() {
        let before = Settings::default();
        let mut after = Settings { vpnkit_cidr: Some("10.1.2.0/24".parse().unwrap()), ..Settings::default() };
        let first = render_change("", &before, &after);
        assert_eq!(first, "{\n  \"schemaVersion\": 1,\n  \"vpnkitCidr\": \"10.1.2.0/24\"\n}\n");
        after.lifecycle_timeout_seconds = 100;
        after.vpnkit_cidr = None;
        let own = "{\"lifecycleTimeoutSeconds\":600,\"schemaVersion\":1,\"vpnkitCidr\":\"10.1.2.0/24\",\"diskSizeMib\":2048}";
        let second = render_change(own, &parse(own).unwrap(), &after);
        assert_eq!(parse::<Settings>(&second).unwrap(), after);
        assert!(!second.contains("filesharing"), "{second}");
    }

    #[test]
    fn all_errors_are_reported() {
        let settings = Settings { lifecycle_timeout_seconds: 0, disk_size_mib: 1, ..Settings::default() };
        assert_eq!(settings.validate().len(), 2);
        assert!(Settings::default().validate().is_empty());
        let shared = ["home", "/a/../b", "/", "/srv/data"].map(PathBuf::from).to_vec();
        let settings = Settings { filesharing_directories: shared, ..Settings::default() };
        assert_eq!(settings.validate().len(), 3);
        let settings = Settings {
            distribution_list_url: "/srv/list.json".to_owned(),
            distribution_list_url_append: Some("file://list.json".to_owned()),
            ..Settings::default()
        };
        assert_eq!(settings.validate().len(), 2);
    }
}
