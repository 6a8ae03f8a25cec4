//! A DNS server for a test's machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use crate::netns::Netns;

/// Serves port 53 of `at` on `machine` for as long as the test runs. Every name has the one address `address` (and no other
/// record); one that begins with `large` has it 100 times, which is too much for a datagram.
pub fn serve(machine: &Netns, at: Ipv4Addr, address: Ipv4Addr) {
    let at = SocketAddr::from((at, 53));
    let bind = move || {
        (UdpSocket::bind(at).expect("port 53 is free"), TcpListener::bind(at).expect("port 53 is free"))
    };
    let (datagrams, connections) = machine.within(bind);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = datagrams.recv_from(&mut buffer) {
            let mut answer = answer(&buffer[..length], address);
            if answer.len() > 512 {
                // Truncated: header and question, and the bit that says so (RFC 1035, 4.1.1).
                answer.truncate(question_end(&buffer[..length]));
                answer[2] |= 2;
                answer[6..8].fill(0);
            }
            let _ = datagrams.send_to(&answer, client);
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = connections.accept() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_ok() {
                let answer = answer(&query, address);
                let length = u16::try_from(answer.len()).expect("it is short").to_be_bytes();
                let _ = stream.write_all(&[&length, &answer[..]].concat());
            }
        }
    });
}

/// Where the question ends: after the labels of the name, the type and the class.
fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

fn answer(query: &[u8], address: Ipv4Addr) -> Vec<u8> {
    let end = question_end(query);
    let is_address = query[end - 4..end - 2] == [0, 1];
    let count: u16 = match (is_address, query[13..].starts_with(b"large")) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 100,
    };
    let mut answer = query[..end].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..8].copy_from_slice(&count.to_be_bytes());
    answer[8..12].fill(0);
    for _ in 0..count {
        // The name of the question, an address, 5 seconds, 4 bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
