//! The gateway: the process on the host that distributions and containers reach it by. It outlives the service.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::gateway::{AskGatewaySpec, Duty, GatewayPorts, GatewayRecord, GatewaySpec};
use sampan_model::guest::{Answer, ProcessId};
use sampan_model::instance::Instance;
use sampan_model::network::Subnet;
use sampan_sys::SysError;

use crate::cgroup::{self, CgroupError};
use crate::hub::{HubError, open_log};
use crate::process;
use crate::tools::guest::{Guest, GuestError};

/// How long a gateway may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no gateway, or one that should not be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("the gateway, by which containers reach the host and its resolvers, cannot be started")]
    Start(#[from] GuestError),
    #[error("the gateway cannot be looked at")]
    Look(#[from] SysError),
    #[error("the gateway (pid {pid}) does not end although it was killed")]
    Stuck { pid: i32 },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Log(#[from] HubError),
}

impl Explain for GatewayError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Start(source) => source.code(),
            _ => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Start(source) => source.hint(),
            Self::Stuck { .. } => Some("the kernel log (`dmesg`) says what it waits for".to_owned()),
            _ => None,
        }
    }
}

/// Where the gateway listens, which does just this from now on; it is started if need be, or told.
pub(crate) fn ensure(instance: &Instance, guest: &Guest, duty: &Duty) -> Result<GatewayPorts, GatewayError> {
    if let Some(ports) = instruct(instance, duty) {
        return Ok(ports);
    }
    stop(instance)?;
    let spec = GatewaySpec {
        record: instance.gateway_record(),
        control: instance.gateway_control(),
        cgroup: cgroup::Host::detect()?.create_for_hub(&instance.cgroup())?,
        duty: duty.clone(),
    };
    let log = open_log(&instance.log("gateway"))?;
    match guest.ask("gateway", &spec, Some(log))? {
        Answer::Listening { ports } => Ok(ports),
        other => Err(garbled("gateway", &other)),
    }
}

/// Where the gateway listens, if there is one that does just this from now on.
pub(crate) fn instruct(instance: &Instance, duty: &Duty) -> Option<GatewayPorts> {
    let ports = find(instance, duty.subnet).ok()??;
    tell(instance, duty).ok()?;
    Some(ports)
}

/// Tells a gateway what it is to do. What is open by it stays open.
fn tell(instance: &Instance, duty: &Duty) -> io::Result<()> {
    let mut stream = UnixStream::connect(instance.gateway_control())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = serde_json::to_string(duty).expect("a duty is plain data") + "\n";
    stream.write_all(line.as_bytes())?;
    // Nothing is said by one that does not do it.
    stream.read_exact(&mut [0])
}

/// Whether those in the network of `hub` reach the gateway.
pub(crate) fn is_reached(guest: &Guest, hub: &ProcessId, subnet: Subnet) -> Result<bool, GatewayError> {
    match guest.ask("ask-gateway", &AskGatewaySpec { hub: hub.clone(), subnet }, None)? {
        Answer::Reached { reached } => Ok(reached),
        other => Err(garbled("ask-gateway", &other)),
    }
}

fn garbled(verb: &str, answer: &Answer) -> GatewayError {
    GuestError::Garbled { verb: verb.to_owned(), said: format!("{answer:?}") }.into()
}

fn find(instance: &Instance, subnet: Subnet) -> Result<Option<GatewayPorts>, GatewayError> {
    let record = process::read_record::<GatewayRecord>(&instance.gateway_record());
    let Some(record) = record.filter(|record| record.subnet == subnet) else { return Ok(None) };
    Ok(process::open(&record.process)?.and(record.ports))
}

/// The process, if there is one that lives.
pub(crate) fn alive(instance: &Instance) -> Option<OwnedFd> {
    let record = process::read_record::<GatewayRecord>(&instance.gateway_record())?;
    process::open(&record.process).ok()?
}

/// Ends the gateway, and with it the connections that it forwards; that there is none is no failure.
pub(crate) fn stop(instance: &Instance) -> Result<(), GatewayError> {
    let Some(record) = process::read_record::<GatewayRecord>(&instance.gateway_record()) else {
        return Ok(());
    };
    if let Some(pidfd) = process::open(&record.process)?
        && !process::kill(&pidfd)?
    {
        return Err(GatewayError::Stuck { pid: record.process.pid });
    }
    let _ = std::fs::remove_file(instance.gateway_control());
    let _ = std::fs::remove_file(instance.gateway_record());
    Ok(())
}
