//! `sampan version`.

use std::process::ExitCode;

use sampan_model::api::Version;
use serde_json::json;

use crate::cli::Format;
use crate::exit::{Exit, Problem};
use crate::{commands, output, service};

use super::Session;

/// The version of this program.
pub(crate) const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Runs the verb. It never fails for want of a service: this program's own version is always known.
pub(crate) fn run(session: &Session) -> Result<ExitCode, Problem> {
    let runs = commands::wait(service::find(&session.instance)).is_ok_and(|found| found.is_some());
    let asked = commands::wait(service::ask::<Version>(&session.instance, "/v1/version", &["version"]));
    let service = match asked {
        Ok(version) => Some(version),
        Err(problem) => {
            output::note(&format!("The service's version is not known: {problem}."));
            None
        }
    };
    match session.format {
        Format::Json => output::json(&json!({ "client": CLIENT, "service": service, "serviceRuns": runs }))?,
        Format::Pretty => output::text(&pretty(service.as_ref(), runs))?,
    }
    Ok(Exit::Ok.into())
}

fn pretty(service: Option<&Version>, runs: bool) -> String {
    let mut rows = vec![("Sampan".to_owned(), CLIENT.to_owned())];
    if let Some(service) = service {
        let state = if runs { "" } else { ", not running" };
        rows.push(("Service".to_owned(), format!("{}{state}", service.version)));
        match &service.engine_image {
            None => rows.push(("Engine image".to_owned(), "not installed".to_owned())),
            Some(image) => {
                rows.push(("Engine image".to_owned(), image.suite.clone()));
                let packages = image.packages.iter();
                rows.extend(packages.map(|package| (format!("  {}", package.name), package.version.clone())));
            }
        }
    }
    output::table(&rows)
}

#[cfg(test)]
mod tests {
    use sampan_model::api::{ImageManifest, Package};

    use super::*;

    #[test]
    fn packages_stand_below_the_image() {
        let package = Package { name: "docker.io".into(), version: "26.1.5".into() };
        let image = ImageManifest { suite: "trixie".into(), packages: vec![package] };
        let text = pretty(Some(&Version { version: "1.0.0".into(), engine_image: Some(image) }), true);
        assert!(text.ends_with("Engine image    trixie\n  docker.io     26.1.5\n"), "{text}");
    }
}
