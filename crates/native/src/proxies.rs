//! The proxies that the settings mean, which may be the machine's own.

use std::fs;

use sampan_model::proxies::{ContainersProxyMode, Exclusions, Proxies, ProxyMode, ProxyUrl};
use sampan_model::settings::Settings;

/// Where the machine's own are said for everybody (`pam_env(8)`).
const ENVIRONMENT: &str = "/etc/environment";

/// The proxies, and what of the machine's own can't be used.
pub(crate) fn of(settings: &Settings) -> (Proxies, Vec<String>) {
    let transparent = settings.containers_proxy_http_mode == ContainersProxyMode::Same;
    let (proxies, unusable) = match settings.proxy_http_mode {
        ProxyMode::None => (Proxies::default(), Vec::new()),
        ProxyMode::Manual => {
            let proxies = Proxies {
                http: settings.override_proxy_http.clone(),
                https: settings.override_proxy_https.clone(),
                exclude: settings.override_proxy_exclude.clone(),
                transparent: false,
            };
            (proxies, Vec::new())
        }
        ProxyMode::System => {
            let text = fs::read_to_string(ENVIRONMENT).unwrap_or_default();
            // What the service was started with is said more closely: by its unit, for example.
            of_variables(|name| std::env::var(name).ok().or_else(|| variable(&text, name)))
        }
    };
    (Proxies { transparent, ..proxies }, unusable)
}

/// As programs read them: either spelling.
fn of_variables(value: impl Fn(&str) -> Option<String>) -> (Proxies, Vec<String>) {
    let either =
        |name: &str| value(name).or_else(|| value(&name.to_uppercase())).filter(|value| !value.is_empty());
    let mut unusable = Vec::new();
    let mut url = |name: &str| {
        let said = either(name).or_else(|| either("all_proxy"))?;
        said.parse::<ProxyUrl>().map_err(|error| unusable.push(format!("{name}: {error}"))).ok()
    };
    let (http, https) = (url("http_proxy"), url("https_proxy"));
    let exclude = either("no_proxy").map_or_else(Exclusions::default, |list| list.as_str().into());
    (Proxies { http, https, exclude, transparent: false }, unusable)
}

/// The value of a variable in a file as `pam_env(8)` reads it: the last line that sets it.
fn variable(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let value = line.strip_prefix(name)?.strip_prefix('=')?.trim();
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some(bare.unwrap_or(value).to_owned())
    };
    text.lines().filter_map(value).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_machine_are_read_in_either_spelling() {
        let text = "PATH=/bin\nhttp_proxy=http://old.test\nexport http_proxy=\"http://proxy.test:3128\"\n\
                    HTTPS_PROXY='proxy.test:3129'\n#no_proxy=a\nNO_PROXY=intern.test\n";
        let (proxies, unusable) = of_variables(|name| variable(text, name));
        let shown = |url: Option<ProxyUrl>| url.map(|url| url.to_string());
        assert_eq!(shown(proxies.http).as_deref(), Some("http://proxy.test:3128"));
        assert_eq!(shown(proxies.https).as_deref(), Some("http://proxy.test:3129"));
        assert_eq!((proxies.exclude.list().as_str(), unusable.len()), ("intern.test", 0));
        let (proxies, unusable) =
            of_variables(|name| (name == "all_proxy").then(|| "socks5://proxy.test".to_owned()));
        assert!(!proxies.any());
        assert_eq!(unusable.len(), 2);
        assert!(!of_variables(|name| variable("", name)).0.any());
    }

    #[test]
    fn the_settings_say_which() {
        let mut settings =
            Settings { override_proxy_http: "proxy.test:80".parse().ok(), ..Settings::default() };
        settings.proxy_http_mode = ProxyMode::None;
        assert!(!of(&settings).0.any());
        settings.proxy_http_mode = ProxyMode::Manual;
        assert!(of(&settings).0.http.is_some() && of(&settings).0.transparent);
        settings.containers_proxy_http_mode = ContainersProxyMode::None;
        assert!(!of(&settings).0.transparent);
    }
}
