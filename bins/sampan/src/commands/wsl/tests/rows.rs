//! Rows of the table of WSL's behaviour, sections E, I and Q, as far as the client has a part in them: what it refuses
//! by itself, what it asks the service, and how it prints what the service answers. What the service itself has to do
//! for a row is tested where it is done.

mod archives;
mod errors;
mod layout;

use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Reply, Request};

use super::fake::{Fake, Run, failed};

/// A command line, what the service answers, and what comes of it.
struct Row {
    id: &'static str,
    words: &'static [&'static str],
    replies: Vec<Reply>,
    out: String,
    code: u8,
    /// What the service was asked; none: it was not.
    asked: Option<fn(&Request) -> bool>,
}

impl Row {
    /// The client refuses this by itself.
    fn refused(id: &'static str, words: &'static [&'static str], out: impl Into<String>) -> Self {
        Self { id, words, replies: Vec::new(), out: out.into(), code: 255, asked: None }
    }

    /// The service is asked and fails so.
    fn fails(
        id: &'static str,
        words: &'static [&'static str],
        asked: fn(&Request) -> bool,
        failure: Failure,
        out: &str,
    ) -> Self {
        Self { id, words, replies: failed(failure), out: out.to_owned(), code: 255, asked: Some(asked) }
    }

    /// The service is asked and all is well.
    fn succeeds(
        id: &'static str,
        words: &'static [&'static str],
        asked: fn(&Request) -> bool,
        reply: Reply,
        out: impl Into<String>,
    ) -> Self {
        Self { id, words, replies: vec![reply], out: out.into(), code: 0, asked: Some(asked) }
    }

    fn check(self) {
        let id = self.id;
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::answering(self.replies);
        let said = Run::new(self.words).folder(folder.path()).with(fake);
        assert_eq!((said.out, said.code), (self.out, self.code), "{id}");
        assert_eq!(said.err, "", "{id}");
        match (self.asked, &said.heard[..]) {
            (None, []) => {}
            (Some(asked), [request]) => assert!(asked(request), "{id}: {request:?}"),
            (_, heard) => panic!("{id}: {heard:?}"),
        }
    }
}

/// Checks rows and prints how many there are, and why others are not met.
fn section(name: &str, rows: Vec<Row>, not_met: &[(&str, &str)]) {
    let met: std::collections::BTreeSet<_> = rows.iter().map(|row| row.id).collect();
    rows.into_iter().for_each(Row::check);
    for (id, reason) in not_met {
        assert!(!met.contains(id), "{id}");
        println!("{id} is not met: {reason}");
    }
    println!("section {name}, the client's side: {} rows met, {} not met", met.len(), not_met.len());
}

fn service(code: Code) -> Failure {
    Failure::new(code).in_context(Context::Service)
}

const DONE: Reply = Reply::Done { installed: None };
const NOT_FOUND: &str =
    "There is no distribution with the supplied name.\nError code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\n";
const INVALID: &str = "The parameter is incorrect. \nError code: Wsl/E_INVALIDARG\n";
const VERSION: &str = "A version number could not be parsed. \nError code: Wsl/ERROR_VERSION_PARSE_ERROR\n";
