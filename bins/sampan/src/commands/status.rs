//! `sampan status`.

use std::fmt::Write as _;
use std::process::ExitCode;

use sampan_model::api::{Distributions, Status};
use sampan_model::distro::{DATA, is_internal};
use sampan_model::engine::EngineState;
use sampan_model::instance::Instance;
use sampan_model::network::Subnet;
use sampan_model::size::human;
use serde_json::json;

use crate::cli::Format;
use crate::exit::{Exit, Problem};
use crate::{access, commands, output, service};

use super::Session;

/// Runs the verb.
pub(crate) fn run(session: &Session) -> Result<ExitCode, Problem> {
    let status = commands::wait(service::answer::<Status>(&session.instance, "/v1/status"))?;
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
    let names = service::distributions_left(instance);
    let damage = damage(instance);
    let left = !names.is_empty() || service::left_running(instance);
    let state = match (left, &damage) {
        (true, _) => "unattended",
        (false, Some(_)) => "failed",
        (false, None) => "stopped",
    };
    match session.format {
        Format::Json => {
            let mut engine = json!({ "state": state });
            if let (false, Some(problem)) = (left, &damage) {
                engine["cause"] = json!({ "part": "engine", "message": problem.message });
            }
            output::json(&json!({
                "instance": instance.name(),
                "servicePid": null,
                "engine": engine,
                "dockerSocket": instance.docker_socket(),
                "stateDir": instance.state(),
            }))?;
        }
        Format::Pretty => {
            let mut text = output::table(&[("Name", "Value"), ("Status", state), ("Service", "not running")]);
            if left {
                text.push_str(&unattended(session, &names));
            }
            if let Some(problem) = &damage {
                let _ = writeln!(text, "\n{problem}");
                if let Some(hint) = &problem.hint {
                    let _ = writeln!(text, "To mend it: {hint}");
                }
            }
            output::text(&text)?;
        }
    }
    Ok(if left || damage.is_none() { Exit::NotRunning } else { Exit::Failed }.into())
}

/// What is wrong with the state files, as far as this user may know.
fn damage(instance: &Instance) -> Option<Problem> {
    if !access::is_root() {
        return None;
    }
    match commands::wait(service::ask_program::<Distributions>(instance, &["list"])) {
        Err(problem) if problem.kind.exit() == Exit::State => Some(problem),
        // That something else can't be told says nothing of the state.
        _ => None,
    }
}

/// What runs without a service, and how it gets one.
fn unattended(session: &Session, names: &[String]) -> String {
    let users: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_internal(name)).collect();
    let Some(first) = users.first().filter(|_| users.len() == names.len()) else {
        return format!(
            "\nThe service is not running, but the engine's processes are: `{}` takes them over.\n",
            session.command("start")
        );
    };
    format!(
        "\nThe service is not running, but these distributions are: {}. Any command in one of them takes them over, such \
         as `{}`.\n",
        users.join(", "),
        session.command(&format!("wsl -d {first}"))
    )
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
    fn what_runs_without_a_service_is_told_by_its_name() {
        let session = Session::new(Some("t"), Format::Pretty, 0).unwrap();
        let told = |names: &[&str]| {
            unattended(&session, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let alone = told(&["Deb"]);
        assert!(alone.contains("are: Deb.") && alone.contains("wsl -d Deb`"), "{alone}");
        for names in [&[][..], &["Deb", "docker-desktop"]] {
            assert!(told(names).contains("engine's processes"), "{names:?}");
        }
    }

    #[test]
    fn a_failed_engine_says_why() {
        let cause = Failure { part: "dockerd".into(), message: "ended with 1".into(), log: vec!["x".into()] };
        let failed = status(EngineState::Failed { cause });
        assert!(pretty(&failed).ends_with("\ndockerd: ended with 1\n    x\n"));
        assert_eq!(exit(&failed.engine.state), Exit::Failed);
    }
}
