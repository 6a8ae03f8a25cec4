//! The program of the image `sampan/hello`: static, says that it runs, and ends.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "printing is all it is for")]

fn main() {
    println!("Hello from a container.");
    println!("The engine of docker-desktop made it from an image built on this machine.");
}
