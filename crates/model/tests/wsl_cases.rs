//! What wsl.exe does with a command line and what it prints, row by row of the table of its public tests.
//!
//! The rows state facts of microsoft/WSL (`test/windows/UnitTests.cpp`, `SimpleTests.cpp`, `src/windows/common/WslClient.cpp`
//! at commit 3e27a6a). Their numbers have gaps; only rows that need Windows are left out. Expected texts have LF for CRLF,
//! and `wsl` for `wsl.exe` where they name a command to type. Exit -1 is 255 here.
//!
//! A row is met here, met by a case of `tests/e2e` that names it, or not met for a reason that stands with it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "how many rows are met belongs to the result")]

#[path = "wsl_cases/command_line.rs"]
mod command_line;
#[path = "wsl_cases/errors.rs"]
mod errors;
#[path = "wsl_cases/layout.rs"]
mod layout;
#[path = "wsl_cases/life.rs"]
mod life;
#[path = "wsl_cases/links.rs"]
mod links;
#[path = "wsl_cases/mounting.rs"]
mod mounting;
#[path = "wsl_cases/network.rs"]
mod network;
#[path = "wsl_cases/options.rs"]
mod options;
#[path = "wsl_cases/storage.rs"]
mod storage;
#[path = "wsl_cases/table.rs"]
mod table;
#[path = "wsl_cases/values.rs"]
mod values;
