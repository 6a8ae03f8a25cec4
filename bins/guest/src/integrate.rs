//! `sampan-guest integrate`: writes what integration needs into a distribution, and takes it out again.
//!
//! The distribution may run or not, and may be anybody's: its files are reached through a mount of its disk that shows
//! nothing else, with it as the root of every path ([`tree`]). Each change is in a journal on the host before it is made
//! ([`record`]), so that it can be undone whatever happens.

mod group;
mod record;
mod tree;
mod undo;
mod write;

use sampan_model::guest::{Answer, IntegrateSpec, Integration};

use record::Record;
use tree::Tree;
use write::Content;

/// Runs the verb.
pub(crate) fn run(spec: &IntegrateSpec) -> anyhow::Result<Answer> {
    let mut record = Record::load(&spec.journal)?;
    let open = |record: &Record| {
        let tree = Tree::open(spec)?;
        record.touched().map(|touched| tree.restore(touched)).transpose()?;
        anyhow::Ok(tree)
    };
    match &spec.task {
        Integration::Undo if record.changes().is_empty() => Ok(Answer::Undone { kept: Vec::new() }),
        Integration::Undo => {
            let kept = undo::since(&open(&record)?, &mut record, 0)?;
            Ok(Answer::Undone { kept })
        }
        Integration::Write { anew, shim, completions, default_uid } => {
            let content = Content::read(shim, completions)?;
            write::write(&open(&record)?, &mut record, &content, *default_uid, *anew)
        }
    }
}
