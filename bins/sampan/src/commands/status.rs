//! `sampan status`.

use std::fmt::Write as _;
use std::process::ExitCode;

use sampan_model::api::Status;
use sampan_model::distro::DATA;
use sampan_model::engine::EngineState;
use sampan_model::network::Subnet;
use sampan_model::size::human;
use serde_json::json;

use crate::cli::Format;
use crate::exit::{Exit, Problem};
use crate::{commands, output, service};

use super::Session;

/// Runs the verb.
pub(crate) fn run(session: &Session) -> Result<ExitCode, Problem> {
    let status = commands::wait(async {
        match service::find(&session.instance).await? {
            Some(client) => Ok(Some(client.get_json::<Status>("/v1/status").await?)),
            None => Ok(None),
        }
    })?;
    match status {
        Some(status) => {
            match session.format {
                Format::Json => output::json(&status)?,
                Format::Pretty => output::text(&pretty(&status))?,
            }
            Ok(exit(&status.engine.state).into())
        }
        None => without_service(session),
    }
}

/// The same shape as with a service, as far as anything is known: `engine.state` is always there, `servicePid` is null.
fn without_service(session: &Session) -> Result<ExitCode, Problem> {
    let instance = &session.instance;
    let left = service::left_running(instance);
    let state = if left { "unattended" } else { "stopped" };
    match session.format {
        Format::Json => output::json(&json!({
            "instance": instance.name(),
            "servicePid": null,
            "engine": { "state": state },
            "dockerSocket": instance.docker_socket(),
            "stateDir": instance.state(),
        }))?,
        Format::Pretty => {
            let mut text = output::table(&[("Name", "Value"), ("Status", state), ("Service", "not running")]);
            if left {
                text.push_str("\nThe service is not running, but the engine's processes are: `");
                text.push_str(&session.command("start"));
                text.push_str("` takes them over.\n");
            }
            output::text(&text)?;
        }
    }
    Ok(Exit::NotRunning.into())
}

fn exit(state: &EngineState) -> Exit {
    match state {
        EngineState::Running | EngineState::Starting { .. } | EngineState::Stopping => Exit::Ok,
        EngineState::Stopped => Exit::NotRunning,
        EngineState::Failed { .. } => Exit::Failed,
    }
}

fn pretty(status: &Status) -> String {
    let state = match &status.engine.state {
        EngineState::Starting { stage } => format!("starting: {stage}"),
        other => other.word().to_owned(),
    };
    let mut rows = vec![("Name", "Value".to_owned()), ("Status", state)];
    if let Some(info) = &status.engine_info {
        rows.push(("Engine version", format!("{} (API {})", info.version, info.api_version)));
        rows.push(("Containers running", format!("{} of {}", info.containers_running, info.containers)));
        rows.push(("Images", info.images.to_string()));
    }
    if status.engine.restarts > 0 {
        rows.push(("Engine restarts", status.engine.restarts.to_string()));
    }
    rows.push(("Docker socket", format!("unix://{}", status.docker_socket.display())));
    if let Some(disk) = status.disks.iter().find(|disk| disk.distribution == DATA) {
        rows.push((
            "Data disk",
            format!("{} used of {}", human(disk.allocated_bytes), human(disk.size_bytes)),
        ));
    }
    if let Some(subnet) = &status.subnet {
        rows.push(("Subnet", subnet.clone()));
        // Nobody has it after a stop.
        let up = !matches!(status.engine.state, EngineState::Stopped | EngineState::Failed { .. });
        if up && let Ok(subnet) = subnet.parse::<Subnet>() {
            rows.push(("Engine address", subnet.guest().to_string()));
        }
    }
    rows.push(("Service", format!("sampand {}, process {}", status.version, status.service_pid)));
    let mut text = output::table(&rows);
    if let EngineState::Failed { cause } = &status.engine.state {
        let _ = writeln!(text, "\n{}: {}", cause.part, cause.message);
        for line in &cause.log {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use sampan_model::api::Disk;
    use sampan_model::engine::{EngineInfo, EngineReport, Failure};

    use super::*;

    fn status(state: EngineState) -> Status {
        Status {
            instance: "default".into(),
            version: "0.1.0".into(),
            service_pid: 7,
            engine: EngineReport { state, marks: vec![], since_us: 0, restarts: 0 },
            engine_info: None,
            docker_socket: "/run/sampan/default/docker.sock".into(),
            state_dir: "/var/lib/sampan/default".into(),
            distributions: vec![],
            disks: vec![],
            subnet: None,
        }
    }

    #[test]
    fn a_running_engine() {
        let mut running = status(EngineState::Running);
        running.engine_info = Some(EngineInfo {
            version: "26.1.5".into(),
            api_version: "1.45".into(),
            containers_running: 1,
            containers: 3,
            images: 2,
        });
        running.disks.push(Disk {
            distribution: DATA.into(),
            path: "/x".into(),
            size_bytes: 1 << 40,
            allocated_bytes: 3 << 29,
        });
        running.subnet = Some("192.168.65.0/24".into());
        assert_eq!(
            pretty(&running),
            "\
Name                  Value
Status                running
Engine version        26.1.5 (API 1.45)
Containers running    1 of 3
Images                2
Docker socket         unix:///run/sampan/default/docker.sock
Data disk             1.5 GiB used of 1 TiB
Subnet                192.168.65.0/24
Engine address        192.168.65.3
Service               sampand 0.1.0, process 7
"
        );
        assert_eq!(exit(&running.engine.state), Exit::Ok);
    }

    #[test]
    fn a_stopped_engine_has_no_address() {
        let subnet = Some("192.168.65.0/24".to_owned());
        let text = |state| pretty(&Status { subnet: subnet.clone(), ..status(state) });
        assert!(text(EngineState::Running).contains("Engine address"));
        let stopped = text(EngineState::Stopped);
        assert!(!stopped.contains("Engine address") && stopped.contains("Subnet"), "{stopped}");
    }

    #[test]
    fn a_failed_engine_says_why() {
        let cause = Failure { part: "dockerd".into(), message: "ended with 1".into(), log: vec!["x".into()] };
        let failed = status(EngineState::Failed { cause });
        assert!(pretty(&failed).ends_with("\ndockerd: ended with 1\n    x\n"));
        assert_eq!(exit(&failed.engine.state), Exit::Failed);
    }
}
