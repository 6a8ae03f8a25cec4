//! Capabilities (capabilities(7)): what root may do.

pub use rustix::thread::CapabilitySet;

use crate::error::{Context, Result};

const THIS: &str = "this process";

/// Limits the calling process, and all it starts from now on, to `kept`, for ever: bounding set, its own capabilities,
/// and none that an executed program would inherit in spite of that. Needs `CAP_SETPCAP`.
pub fn limit_to(kept: CapabilitySet) -> Result<()> {
    const WHAT: &str = "limit the capabilities of";
    rustix::thread::clear_ambient_capability_set().on(WHAT, THIS)?;
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // An error: the kernel knows no capability of this number, nor of a higher one.
        let Ok(bounding) = rustix::thread::capability_is_in_bounding_set(one) else { break };
        if bounding && !kept.contains(one) {
            rustix::thread::remove_capability_from_bounding_set(one).on(WHAT, THIS)?;
        }
    }
    let mut own = rustix::thread::capabilities(None).on(WHAT, THIS)?;
    own.permitted &= kept;
    own.effective &= kept;
    own.inheritable = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, own).on(WHAT, THIS)
}
