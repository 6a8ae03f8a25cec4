//! How the programs are linked.
#![forbid(unsafe_code)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // There may be thousands of this one: at a fixed address nothing in it has to be adapted, so that its pages stay the
    // file's, shared by all. It has no secret, and reads nothing but its own words.
    for argument in ["-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bin=sampan-docker-proxy={argument}");
    }
}
