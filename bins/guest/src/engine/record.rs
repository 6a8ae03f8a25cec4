//! What a supervisor leaves for its successor, and for the relay of the API socket.

use std::io;
use std::path::Path;

use sampan_model::engine::EngineState;
use sampan_model::guest::ProcessId;
use serde::{Deserialize, Serialize};

const FILE: &str = "/run/sampan/engine.json";

/// The engine's processes and its state, in a file that lives as long as the distribution runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) containerd: Option<ProcessId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dockerd: Option<ProcessId>,
    /// What the engine is doing.
    #[serde(flatten)]
    pub(crate) state: EngineState,
}

impl Record {
    /// Of an engine that was never started.
    pub(super) fn empty() -> Self {
        Self { containerd: None, dockerd: None, state: EngineState::Stopped }
    }

    /// The last one written.
    pub(crate) fn read() -> anyhow::Result<Self> {
        match std::fs::read(FILE) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| anyhow::anyhow!("{FILE} cannot be understood: {error}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::empty()),
            Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {FILE}"))),
        }
    }

    pub(super) fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self).expect("a record is plain data");
        Ok(sampan_sys::fs::write_atomic(Path::new(FILE), &text, 0o644)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_json() {
        let id = ProcessId { pid: 7, start_time: 99, boot_id: "b".to_owned() };
        let record = Record { containerd: Some(id), ..Record::empty() };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"containerd":{"pid":7,"startTime":99,"bootId":"b"},"state":"stopped"}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
