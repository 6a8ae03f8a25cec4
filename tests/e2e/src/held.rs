//! A file that whoever reads it has to wait for, so that a test can come between.

use std::path::Path;

use crate::tools::{Job, Tool};

/// A file under a lease of ours (fcntl(2), `F_SETLEASE`): who opens it waits until this goes, at most for
/// `/proc/sys/fs/lease-break-time`, which is 45 seconds.
#[derive(Debug)]
pub struct Held(Job);

impl Held {
    /// Takes the lease. Nobody may have the file open.
    #[track_caller]
    pub fn new(file: &Path) -> Self {
        let script = "use Fcntl; $| = 1; $SIG{IO} = sub { print qq(asked\\n) }; open F, q(+<), $ARGV[0] or die; \
                      fcntl F, 1024, F_WRLCK or die; print qq(held\\n); sleep 1000 while 1";
        let job = Tool::new("perl").args(["-e", script]).arg(file).spawn();
        job.wait_for_text("held");
        Self(job)
    }

    /// Waits until somebody waits for the file.
    #[track_caller]
    pub fn wait_until_asked(&self) {
        self.0.wait_for_text("asked");
    }
}
