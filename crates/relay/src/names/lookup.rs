//! The addresses of a name, as the host itself finds them: its `hosts` file, then its resolvers.
//!
//! Not by the C library: its name service can't be linked into a program that needs no other file.

use std::fs;
use std::net::IpAddr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};

use super::resolvers::Resolvers;
use super::upstream;

const HOSTS: &str = "/etc/hosts";

impl Resolvers {
    /// Addresses of `name`, those of IPv4 first; none: nobody knows it.
    pub(crate) async fn lookup(&self, name: &str) -> Vec<IpAddr> {
        let text = fs::read_to_string(HOSTS).unwrap_or_default();
        let listed: Vec<IpAddr> = in_hosts(&text, name).collect();
        if !listed.is_empty() {
            return listed;
        }
        for candidate in candidates(name, &self.search()) {
            let (four, six) = tokio::join!(self.ask(&candidate, TYPE::A), self.ask(&candidate, TYPE::AAAA));
            if !four.is_empty() || !six.is_empty() {
                return [four, six].concat();
            }
        }
        Vec::new()
    }

    async fn ask(&self, name: &str, kind: TYPE) -> Vec<IpAddr> {
        let Some(query) = query(name, kind) else { return Vec::new() };
        let servers = self.now();
        let mut answer = upstream::ask(&servers, &query, false).await;
        if answer.as_ref().is_some_and(|answer| is_truncated(answer)) {
            answer = upstream::ask(&servers, &query, true).await;
        }
        answer.map_or(Vec::new(), |answer| addresses(&answer))
    }
}

/// What is asked for, one after the other (`search` and `ndots:1` of resolv.conf(5)).
fn candidates(name: &str, search: &[String]) -> Vec<String> {
    let whole = name.trim_end_matches('.').to_owned();
    let longer = search.iter().map(|domain| format!("{whole}.{}", domain.trim_matches('.')));
    if name.ends_with('.') {
        vec![whole]
    } else if whole.contains('.') {
        [whole.clone()].into_iter().chain(longer).collect()
    } else {
        longer.chain([whole.clone()]).collect()
    }
}

/// hosts(5).
fn in_hosts(text: &str, name: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(move |line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    })
}

fn query(name: &str, kind: TYPE) -> Option<Vec<u8>> {
    // Its number is chosen by whoever sends it.
    let mut packet = Packet::new_query(0);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

fn is_truncated(answer: &[u8]) -> bool {
    Packet::parse(answer).is_ok_and(|packet| packet.has_flags(PacketFlag::TRUNCATION))
}

/// All addresses, whatever they are of: the host's resolvers have followed the aliases.
fn addresses(answer: &[u8]) -> Vec<IpAddr> {
    let Ok(packet) = Packet::parse(answer) else { return Vec::new() };
    let address = |data: &RData<'_>| match data {
        RData::A(record) => Some(IpAddr::V4(record.address.into())),
        RData::AAAA(record) => Some(IpAddr::V6(record.address.into())),
        _ => None,
    };
    packet.answers.iter().filter_map(|record| address(&record.rdata)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_get_the_domains_first_and_long_ones_last() {
        let search = ["a.test".to_owned(), "b.test.".to_owned()];
        assert_eq!(candidates("db", &search), ["db.a.test", "db.b.test", "db"]);
        assert_eq!(candidates("x.db", &search), ["x.db", "x.db.a.test", "x.db.b.test"]);
        assert_eq!(candidates("db.", &search), ["db"]);
    }

    #[test]
    fn hosts_are_read() {
        let text = "127.0.0.1 localhost\n# 10.0.0.9 db\n10.0.0.1\tDB.test db # the one\n::2 db\nx db\n";
        let found = |name| in_hosts(text, name).collect::<Vec<_>>();
        assert_eq!(found("db"), ["10.0.0.1".parse::<IpAddr>().unwrap(), "::2".parse().unwrap()]);
        assert!(found("the").is_empty() && found("10.0.0.1").is_empty());
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for bad in [String::new(), format!("{}.test", "x".repeat(64)), "x.".repeat(200)] {
            let asked = query(&bad, TYPE::A);
            assert!(asked.is_none() || bad.is_empty(), "{bad}");
        }
        assert!(addresses(&[]).is_empty() && addresses(&[0; 600]).is_empty());
    }
}
