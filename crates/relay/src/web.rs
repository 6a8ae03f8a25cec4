//! The web as those inside reach it: by the proxies that there are, or from the host itself.
//!
//! Some ask for it as one asks a proxy (RFC 9110, 3.7). Others do not know that they are led here: what they say first tells
//! which server they mean, by a name that the proxies can look up.

mod exchange;
mod headers;
mod reach;
mod server_name;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sampan_model::gateway::Duty;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::forward::{join, reset, serve_each, wanted};
use crate::names::Resolvers;
use crate::splice;

/// What tells of a port that requests come to it, and no TLS.
const HTTP: u16 = 80;

/// How long a client may take to say which server it means. One that waits for the server to speak first is connected then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What leads to the web.
#[derive(Debug)]
pub struct Web {
    duty: watch::Receiver<Duty>,
    resolvers: Resolvers,
}

impl Web {
    /// By the proxies of `duty`; names of what is reached without are asked of `resolvers`.
    pub fn new(duty: watch::Receiver<Duty>, resolvers: Resolvers) -> Arc<Self> {
        Arc::new(Self { duty, resolvers })
    }

    /// Serves those who ask for a proxy, until the future is dropped.
    pub async fn serve_proxy(self: Arc<Self>, listener: TcpListener) {
        serve_each(listener, |client| exchange::serve(Arc::clone(&self), client, None)).await;
    }

    /// Serves those whom the packet filter leads to `listener`, until the future is dropped.
    pub async fn serve_led(self: Arc<Self>, listener: TcpListener) {
        serve_each(listener, |client| {
            let web = Arc::clone(&self);
            async move {
                match wanted(&client) {
                    Ok(wanted) if wanted.port() == HTTP => exchange::serve(web, client, Some(wanted)).await,
                    Ok(wanted) => web.tunnel(client, wanted).await,
                    Err(_) => reset(&client),
                }
            }
        })
        .await;
    }

    /// From a client that speaks TLS, most likely, to the server that it wanted.
    async fn tunnel(&self, mut client: TcpStream, wanted: SocketAddr) {
        let mut said = Vec::new();
        // Whoever says no name, or nothing at all, means the address.
        let named = timeout(PATIENCE, server_name::read(&mut client, &mut said)).await.ok().flatten();
        let host = named.unwrap_or_else(|| wanted.ip().to_string());
        let Ok((answered, server)) = self.reach(&host, wanted.port(), Some(wanted.ip())).await else {
            return reset(&client);
        };
        meet((&said, &client), (&answered, &server)).await;
    }
}

/// Joins two connections; of each something was read already.
async fn meet(client: (&[u8], &TcpStream), server: (&[u8], &TcpStream)) {
    let told = async {
        tokio::try_join!(splice::send_all(client.1, server.0), splice::send_all(server.1, client.0))
    };
    if told.await.is_ok() {
        join(client.1, server.1).await;
    } else {
        reset(client.1);
        reset(server.1);
    }
}

#[cfg(test)]
mod tests;
