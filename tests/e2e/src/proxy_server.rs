//! An HTTP proxy for a test's machine, which writes down what it is asked for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::netns::Netns;

/// What it says instead of whoever it is asked for.
pub const ANSWER: &str = "by the proxy";

/// One that runs for as long as the test.
#[derive(Debug)]
pub struct ProxyServer {
    /// Its port.
    pub port: u16,
    /// The heads of requests.
    asked: Receiver<String>,
}

impl ProxyServer {
    /// At a free port of `address` on `machine`.
    pub fn new(machine: &Netns, address: &str) -> Self {
        let listener = machine.listen(format!("{address}:0").parse().expect("an address"));
        let port = listener.local_addr().expect("it is bound").port();
        let (tell, asked) = mpsc::channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let tell = tell.clone();
                thread::spawn(move || drop(serve(stream, &tell)));
            }
        });
        Self { port, asked }
    }

    /// What it was asked since the last time.
    pub fn heard(&self) -> String {
        self.asked.try_iter().collect()
    }
}

fn serve(mut stream: TcpStream, tell: &mpsc::Sender<String>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let is_tunnel = head.starts_with("CONNECT ");
        let _ = tell.send(head);
        if is_tunnel {
            write!(stream, "HTTP/1.1 200 Connection established\r\n\r\n")?;
            // Whatever is said in it is answered, and that is all.
            let _ = stream.read(&mut [0; 4096])?;
            return write!(stream, "{ANSWER}");
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}", ANSWER.len())?;
    }
}
