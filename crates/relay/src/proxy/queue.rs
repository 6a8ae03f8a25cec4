//! How much a connection may have in flight.

use std::os::fd::AsFd;

use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};

/// What each side may send ahead, in bytes. The kernel's default (`net.core.wmem_default`, 208 KiB) makes two programs and
/// this one take turns over a few pieces, and a bulk transfer slower than without a proxy.
const AHEAD: usize = 1 << 20;

/// Lets the owner of `socket` send further ahead. The kernel keeps no memory for it before it is sent.
pub(super) fn deepen(socket: impl AsFd) {
    // By force it takes CAP_NET_ADMIN, and else as much as `net.core.wmem_max` allows: slower, and right all the same.
    if set_socket_send_buffer_size_force(&socket, AHEAD).is_err() {
        let _ = set_socket_send_buffer_size(&socket, AHEAD);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::net::sockopt::socket_send_buffer_size;

    use super::*;

    #[test]
    fn more_is_in_flight_than_by_default() {
        let (socket, _other) = UnixStream::pair().unwrap();
        set_socket_send_buffer_size(&socket, 4096).unwrap();
        let before = socket_send_buffer_size(&socket).unwrap();
        deepen(&socket);
        assert!(socket_send_buffer_size(&socket).unwrap() > before);
    }
}
