//! `sampan ports`.

use std::process::ExitCode;

use sampan_model::ports::{Ports, Published};

use crate::cli::Format;
use crate::exit::{Exit, Problem};
use crate::{commands, output, service};

use super::Session;

/// Runs the verb.
pub(crate) fn run(session: &Session) -> Result<ExitCode, Problem> {
    let ports = commands::wait(async {
        match service::find(&session.instance).await? {
            Some(client) => Ok(client.get_json::<Ports>("/v1/ports").await?),
            None => Err(Problem::not_running("the engine is not running")
                .hint(format!("type `{}`", session.command("start")))),
        }
    })?;
    match session.format {
        Format::Json => output::json(&ports)?,
        Format::Pretty if ports.ports.is_empty() => output::text("No container publishes a port.\n")?,
        Format::Pretty => output::text(&table(&ports.ports))?,
    }
    Ok(Exit::Ok.into())
}

fn table(ports: &[Published]) -> String {
    let head = ["ON THE HOST", "IN DISTRIBUTIONS", "CONTAINER", "NAME"].map(str::to_owned);
    let cells = ports.iter().map(|port| {
        let at = |address| format!("{address}/{}", port.binding.protocol);
        [
            port.on_host.map_or_else(|| "-".to_owned(), at),
            if port.inside { at(port.binding.host) } else { "-".to_owned() },
            at(port.binding.container),
            port.name.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let lines: Vec<[String; 4]> = std::iter::once(head).chain(cells).collect();
    output::columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_says_where_it_is_reached() {
        let port = |line: &str, on_host: Option<&str>, inside, name: Option<&str>| Published {
            binding: line.parse().unwrap(),
            on_host: on_host.map(|address| address.parse().unwrap()),
            inside,
            name: name.map(str::to_owned),
        };
        let ports = [
            port("tcp 0.0.0.0 8080 172.17.0.2 80", Some("127.0.0.1:8080"), true, Some("web")),
            port("udp 198.51.100.2 53 172.17.0.3 53", Some("198.51.100.2:53"), false, None),
            port("tcp 192.168.65.3 80 172.17.0.2 80", None, true, Some("web")),
        ];
        assert_eq!(
            table(&ports),
            "\
ON THE HOST            IN DISTRIBUTIONS       CONTAINER            NAME
127.0.0.1:8080/tcp     0.0.0.0:8080/tcp       172.17.0.2:80/tcp    web
198.51.100.2:53/udp    -                      172.17.0.3:53/udp    -
-                      192.168.65.3:80/tcp    172.17.0.2:80/tcp    web
"
        );
    }
}
