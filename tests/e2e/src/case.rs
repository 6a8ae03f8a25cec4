//! What a test is: the promise it holds as its name, and a function.

use libtest_mimic::{Completion, Failed, Trial};

/// The reason why a test can't run on this machine.
#[derive(Debug)]
pub struct Skip(pub String);

type Body = Box<dyn FnOnce() -> Result<(), Skip> + Send>;

/// A test.
pub struct Case {
    name: String,
    body: Body,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Case {
    /// A test that can run wherever the product can. It fails by a panic.
    pub fn new(name: &str, body: fn()) -> Self {
        Self {
            name: name.to_owned(),
            body: Box::new(move || {
                body();
                Ok(())
            }),
        }
    }

    /// A test that may find that it can't run here.
    pub fn skippable(name: &str, body: impl FnOnce() -> Result<(), Skip> + Send + 'static) -> Self {
        Self { name: name.to_owned(), body: Box::new(body) }
    }

    /// The test for the runner; one that needs root is skipped for anyone else.
    pub fn into_trial(self) -> Trial {
        let Self { name, body } = self;
        Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
            let outcome = if rustix::process::geteuid().is_root() {
                body()
            } else {
                Err(Skip("needs root".to_owned()))
            };
            Ok(match outcome {
                Ok(()) => Completion::Completed,
                Err(Skip(reason)) => Completion::ignored_with(reason),
            })
        })
    }
}
