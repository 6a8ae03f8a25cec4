//! The gateway: the process on the host that distributions and containers reach it by. It outlives the service.

use std::os::fd::OwnedFd;

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

/// A gateway that does what it is to do, and whether it was there before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) ports: GatewayPorts,
    pub(crate) is_new: bool,
}

/// Where the gateway listens that does just this; it is started, or another one replaced, if need be.
pub(crate) fn ensure(instance: &Instance, guest: &Guest, duty: &Duty) -> Result<Standing, GatewayError> {
    if let Some(ports) = find(instance, duty)? {
        return Ok(Standing { ports, is_new: false });
    }
    stop(instance)?;
    let spec = GatewaySpec {
        record: instance.gateway_record(),
        cgroup: cgroup::Host::detect()?.create_for_hub(&instance.cgroup())?,
        duty: duty.clone(),
    };
    let log = open_log(&instance.log("gateway"))?;
    match guest.ask("gateway", &spec, Some(log))? {
        Answer::Listening { ports } => Ok(Standing { ports, is_new: true }),
        other => Err(garbled("gateway", &other)),
    }
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

/// Whether there is a gateway that does just this.
pub(crate) fn does(instance: &Instance, duty: &Duty) -> bool {
    find(instance, duty).is_ok_and(|ports| ports.is_some())
}

fn find(instance: &Instance, duty: &Duty) -> Result<Option<GatewayPorts>, GatewayError> {
    let record = process::read_record::<GatewayRecord>(&instance.gateway_record());
    let Some(record) = record.filter(|record| record.duty == *duty) else { return Ok(None) };
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
    let _ = std::fs::remove_file(instance.gateway_record());
    Ok(())
}
