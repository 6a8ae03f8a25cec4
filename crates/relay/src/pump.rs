//! Two-way copy between two streams.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::quiet::QuietStream;
use crate::splice;

/// The most bytes that are on their way in one direction: read from one side and not yet taken by the other.
pub const BUFFER: usize = 64 * 1024;

/// What an idle connection holds; most Docker requests and answers fit.
const FIRST_BUFFER: usize = 8 * 1024;

/// How many bytes went through a pair of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes that the second stream took from the first.
    pub a_to_b: u64,
    /// Bytes that the first stream took from the second.
    pub b_to_a: u64,
}

/// Copies in both directions until both have ended.
///
/// Each direction ends alone: the end of what `a` sends is passed on as the end of what `b` receives, while `b` may go on
/// sending, as `docker exec -i` and `docker load` need. A side that is gone counts as one that has nothing more to say
/// or takes nothing more; what the other one still has for its peer is delivered.
pub async fn relay<A, B>(a: A, b: B) -> Relayed
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (a_reader, a_writer) = tokio::io::split(a);
    let (b_reader, b_writer) = tokio::io::split(b);
    let (a_to_b, b_to_a) = tokio::join!(one_way(a_reader, b_writer), one_way(b_reader, a_writer));
    Relayed { a_to_b, b_to_a }
}

/// As [`relay`], for sockets with nothing between them and the kernel: what is much does not pass through this process. What
/// was read of each already goes first.
pub(crate) async fn relay_sockets(a: (Bytes, QuietStream), b: (Bytes, QuietStream)) {
    tokio::join!(one_way_through(&a, &b.1), one_way_through(&b, &a.1));
}

async fn one_way_through((read, from): &(Bytes, QuietStream), to: &QuietStream) {
    // An error says that a side is gone, as below.
    let _: io::Result<()> = async {
        splice::send_all(to, read).await?;
        splice::one_way(from, to).await
    }
    .await;
    let _ = splice::finish(to);
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> u64 {
    let mut passed = 0;
    // An error says that a side is gone. The other direction meets the same fact by itself, so there is nothing to
    // report: a relay that closes is all that either side would see of it.
    let _: io::Result<()> = async {
        let mut buffer = BytesMut::with_capacity(FIRST_BUFFER);
        while from.read_buf(&mut buffer).await? > 0 {
            let full = buffer.len() == buffer.capacity();
            passed += buffer.len() as u64;
            to.write_all(&buffer).await?;
            buffer.clear();
            if full && buffer.capacity() < BUFFER {
                buffer = BytesMut::with_capacity(BUFFER);
            }
        }
        Ok(())
    }
    .await;
    let _ = to.shutdown().await; // fails when that side is gone: then it knows
    passed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixStream;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    /// A relay and the far ends of its two streams.
    fn wired() -> (UnixStream, UnixStream, JoinHandle<Relayed>) {
        let (client, near) = UnixStream::pair().unwrap();
        let (far, server) = UnixStream::pair().unwrap();
        (client, server, tokio::spawn(relay(near, far)))
    }

    async fn text(stream: &mut UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_server_answers_after_the_client_has_finished() {
        let (mut client, mut server, relay) = wired();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(text(&mut server).await, "question");
        server.write_all(b"the answer").await.unwrap();
        drop(server);
        assert_eq!(text(&mut client).await, "the answer");
        assert_eq!(relay.await.unwrap(), Relayed { a_to_b: 8, b_to_a: 10 });
    }

    #[tokio::test]
    async fn the_client_goes_on_after_the_server_has_finished() {
        let (mut client, mut server, relay) = wired();
        server.write_all(b"greeting").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(text(&mut client).await, "greeting");
        client.write_all(b"upload").await.unwrap();
        drop(client);
        assert_eq!(text(&mut server).await, "upload");
        assert_eq!(relay.await.unwrap(), Relayed { a_to_b: 6, b_to_a: 8 });
    }

    #[tokio::test]
    async fn a_slow_reader_holds_up_the_writer() {
        // Pipes of one byte, so that what is taken is what the relay holds.
        let (mut writer, a) = tokio::io::duplex(1);
        let (b, mut reader) = tokio::io::duplex(1);
        let relay = tokio::spawn(relay(a, b));
        let mut taken = 0;
        while let Ok(written) = timeout(Duration::from_millis(200), writer.write(&[7; 4096])).await {
            taken += written.unwrap();
        }
        assert!(taken <= BUFFER + 2, "{taken}");
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), taken);
        drop(reader);
        assert_eq!(relay.await.unwrap().a_to_b, taken as u64);
    }

    #[tokio::test]
    async fn big_data_arrives_whole() {
        let (mut client, mut server, relay) = wired();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, expected);
        drop(server);
        drop(writer.await.unwrap());
        assert_eq!(relay.await.unwrap(), Relayed { a_to_b: 3_000_000, b_to_a: 0 });
    }

    #[tokio::test]
    async fn sockets_pass_all_of_it_after_what_was_read_already() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, mut server) = UnixStream::pair().unwrap();
        let relay = tokio::spawn(relay_sockets(
            (Bytes::from_static(b"head of the client"), QuietStream::of(near).unwrap()),
            (Bytes::from_static(b"head of the server"), QuietStream::of(far).unwrap()),
        ));
        let much: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let (one, two) = (much.clone(), much.clone());
        let at_client = tokio::spawn(async move {
            let (mut reader, mut writer) = client.split();
            let send = async {
                writer.write_all(&one).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (read, ()) = tokio::join!(reader.read_to_end(&mut received), send);
            read.unwrap();
            received
        });
        // The client has finished long before it is answered.
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == [&b"head of the client"[..], &much].concat());
        server.write_all(&two).await.unwrap();
        drop(server);
        assert!(at_client.await.unwrap() == [&b"head of the server"[..], &much].concat());
        relay.await.unwrap();
    }

    #[tokio::test]
    async fn the_last_words_of_a_server_that_hangs_up_early_arrive() {
        let (mut client, mut server, relay) = wired();
        // A refused upload: the server answers and leaves while the client is still sending.
        client.write_all(&[1; 1000]).await.unwrap();
        server.write_all(b"too big").await.unwrap();
        drop(server);
        assert_eq!(text(&mut client).await, "too big");
        drop(client);
        assert_eq!(relay.await.unwrap().b_to_a, 7);
    }

    #[tokio::test]
    async fn the_death_of_one_side_ends_both() {
        for client_dies in [true, false] {
            let (mut client, mut server, relay) = wired();
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            let mut left = if client_dies {
                drop(client);
                server
            } else {
                drop(server);
                client
            };
            assert_eq!(text(&mut left).await, "");
            drop(left);
            timeout(Duration::from_secs(5), relay).await.unwrap().unwrap();
        }
    }
}
