//! What is published now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sampan_model::ports::{Protocol, Published};

/// The ports that are served, and those that are about to be no more.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    rows: BTreeMap<u64, Published>,
}

impl Table {
    /// Adds a port; the number by which it is removed.
    pub(super) fn add(&self, row: Published) -> u64 {
        let mut rows = self.lock();
        let number = rows.next;
        rows.next += 1;
        rows.rows.insert(number, row);
        number
    }

    /// Removes a port whose sockets are closed.
    pub(super) fn remove(&self, number: u64) {
        self.lock().rows.remove(&number);
    }

    /// Whether a port is served, or about to be no more, that keeps others from `address`.
    pub(super) fn has(&self, protocol: Protocol, address: SocketAddr) -> bool {
        self.holder(protocol, address).is_some()
    }

    /// The port that does.
    pub(super) fn holder(&self, protocol: Protocol, address: SocketAddr) -> Option<Published> {
        let meets = |other: SocketAddr| {
            let (one, two) = (other.ip(), address.ip());
            other.port() == address.port()
                && one.is_ipv4() == two.is_ipv4()
                && (one == two || one.is_unspecified() || two.is_unspecified())
        };
        let is_it = |row: &Published| {
            row.binding.protocol == protocol && (meets(row.binding.host) || row.on_host.is_some_and(meets))
        };
        self.lock().rows.values().find(|row| is_it(row)).cloned()
    }

    /// In the order of their numbers.
    pub(super) fn rows(&self) -> Vec<Published> {
        let mut rows: Vec<Published> = self.lock().rows.values().cloned().collect();
        rows.sort_by_key(|row| {
            (row.binding.host.port(), row.binding.protocol.to_string(), row.binding.host.ip())
        });
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_go_and_stand_in_order() {
        let table = Table::default();
        let add = |line: &str| {
            table.add(Published { binding: line.parse().unwrap(), on_host: None, inside: true, name: None })
        };
        let numbers =
            ["udp 0.0.0.0 53 172.17.0.2 53", "tcp :: 80 172.17.0.2 80", "tcp 0.0.0.0 53 172.17.0.2 53"]
                .map(add);
        let order = || table.rows().iter().map(|row| row.binding.to_string()).collect::<Vec<_>>();
        assert_eq!(
            order(),
            ["tcp 0.0.0.0 53 172.17.0.2 53", "udp 0.0.0.0 53 172.17.0.2 53", "tcp :: 80 172.17.0.2 80"]
        );
        let has = |protocol, address: &str| table.has(protocol, address.parse().unwrap());
        assert!(has(Protocol::Udp, "127.0.0.1:53") && !has(Protocol::Udp, "127.0.0.1:80"));
        assert!(has(Protocol::Tcp, "[::1]:80") && !has(Protocol::Tcp, "0.0.0.0:80"), "families do not meet");
        table.remove(numbers[0]);
        assert!(!has(Protocol::Udp, "127.0.0.1:53") && has(Protocol::Tcp, "0.0.0.0:53"));
    }
}
