use std::net::Ipv4Addr;
use std::path::Path;

use simple_dns::rdata::{A, OPT, RData, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use sampan_model::network::Subnet;

use super::*;

fn subnet() -> Subnet {
    "10.0.0.0/24".parse().unwrap()
}

/// A relay for clients on the loopback; where it listens.
struct Relay {
    at: SocketAddr,
    task: tokio::task::JoinHandle<()>,
    _duty: watch::Sender<Duty>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn new(hidden: HiddenRecords, resolvers: Resolvers) -> Self {
        let (duty, receiver) = watch::channel(Duty { hidden, ..Duty::new(subnet()) });
        let names = Names::new(receiver, resolvers);
        let connections = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = connections.local_addr().unwrap();
        let datagrams = UdpSocket::bind(at).await.unwrap();
        Self { at, task: tokio::spawn(names.serve(datagrams, connections)), _duty: duty }
    }

    async fn ask(&self, query: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.at).await.unwrap();
        socket.send(query).await.unwrap();
        let mut buffer = vec![0; LONGEST];
        let length = socket.recv(&mut buffer).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    async fn ask_by_connection(&self, queries: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        for query in queries {
            send(&mut stream, query).await.unwrap();
        }
        let mut answers = Vec::new();
        for _ in queries {
            answers.push(receive(&mut stream).await.unwrap());
        }
        answers
    }
}

fn query(id: u16, name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap();
    packet.questions.push(simple_dns::Question::new(name, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

/// A resolver that answers what `answer` makes of each query; none: it says nothing. The number of queries is counted.
async fn resolver(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).await.unwrap();
    let by_datagram = answer.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; LONGEST];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            if let Some(answer) = by_datagram(&buffer[..length]) {
                socket.send_to(&answer, client).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let query = receive(&mut stream).await.unwrap();
            if let Some(answer) = answer(&query) {
                send(&mut stream, &answer).await.unwrap();
            }
        }
    });
    at
}

/// As an ordinary resolver answers, with one address.
fn address(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let asked = Packet::parse(query).unwrap();
    let name = asked.questions[0].qname.clone();
    let mut packet = asked.clone().into_reply();
    let address = RData::A(A { address: Ipv4Addr::from(address).to_bits() });
    packet.answers.push(ResourceRecord::new(name, CLASS::IN, 7, address));
    packet.build_bytes_vec().unwrap()
}

fn code(query: &[u8], code: RCODE) -> Vec<u8> {
    let mut packet = Packet::parse(query).unwrap().into_reply();
    *packet.rcode_mut() = code;
    packet.build_bytes_vec().unwrap()
}

fn addresses(answer: &[u8]) -> Vec<Ipv4Addr> {
    let packet = Packet::parse(answer).unwrap();
    let of = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from_bits(a.address)),
        _ => None,
    };
    packet.answers.iter().filter_map(of).collect()
}

#[tokio::test]
async fn own_names_are_answered_here() {
    let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(Vec::new())).await;
    for (name, expected) in [
        ("host.docker.internal", [10, 0, 0, 254]),
        ("hOsT.Docker.Internal", [10, 0, 0, 254]),
        ("kubernetes.docker.internal", [10, 0, 0, 254]),
        ("gateway.docker.internal", [10, 0, 0, 1]),
    ] {
        let asked = query(77, name, TYPE::A);
        let answer = relay.ask(&asked).await;
        assert_eq!(addresses(&answer), [Ipv4Addr::from(expected)], "{name}");
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!(packet.id(), 77);
        assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED));
        assert_eq!(packet.questions[0].qname.to_string(), name, "as it was written");
        assert!(packet.opt().is_none(), "who does not speak EDNS is not spoken to in it");

        let six = relay.ask(&query(78, name, TYPE::AAAA)).await;
        let packet = Packet::parse(&six).unwrap();
        assert_eq!((packet.rcode(), packet.answers.len()), (RCODE::NoError, 0), "the name is there");
    }
    let both = [query(1, "host.docker.internal", TYPE::A), query(2, "host.docker.internal", TYPE::AAAA)];
    let answers = relay.ask_by_connection(&both).await;
    assert_eq!(addresses(&answers[0]), [Ipv4Addr::new(10, 0, 0, 254)]);
    assert_eq!(Packet::parse(&answers[1]).unwrap().id(), 2);

    let mut modern = Packet::new_query(5);
    let name = Name::new("host.docker.internal").unwrap();
    modern.questions.push(simple_dns::Question::new(name, QTYPE::ANY, CLASS::IN.into(), false));
    *modern.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 4096, version: 0 });
    let answer = relay.ask(&modern.build_bytes_vec().unwrap()).await;
    assert_eq!(Packet::parse(&answer).unwrap().opt().unwrap().udp_packet_size, 1232);
}

#[tokio::test]
async fn all_else_is_passed_on_untouched() {
    // What no parser here knows, in a message of many kilobytes.
    let strange = |query: &[u8]| {
        let mut answer = query.to_vec();
        answer[2] |= 0x80;
        answer.extend((0..6000_u32).flat_map(u32::to_be_bytes));
        Some(answer)
    };
    let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(vec![resolver(strange).await])).await;
    let asked = query(0xabcd, "example.org", TYPE::TXT);
    let expected = strange(&asked).unwrap();
    assert!(relay.ask(&asked).await == expected);
    // A kind of records that this library does not know either.
    let strange_query = || {
        let mut query = query(3, "example.net", TYPE::A);
        let end = query.len();
        query[end - 4..end - 2].copy_from_slice(&[0xff, 0]);
        query
    };
    let two = [asked.clone(), strange_query()];
    let answers = relay.ask_by_connection(&two).await;
    assert!(answers[0] == expected && answers[1] == strange(&two[1]).unwrap());
}

#[tokio::test]
async fn the_next_resolver_is_asked_when_one_fails() {
    let silent = resolver(|_| None).await;
    let refusing = resolver(|query| Some(code(query, RCODE::Refused))).await;
    let good = resolver(|query| Some(address(query, [9, 9, 9, 9]))).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let asked = query(1, "example.org", TYPE::A);
    for others in [vec![refusing], vec![nobody], vec![silent], vec![nobody, refusing]] {
        let all = [others.clone(), vec![good]].concat();
        let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(all)).await;
        assert_eq!(addresses(&relay.ask(&asked).await), [Ipv4Addr::new(9, 9, 9, 9)], "{others:?}");
        let answers = relay.ask_by_connection(std::slice::from_ref(&asked)).await;
        assert_eq!(addresses(&answers[0]), [Ipv4Addr::new(9, 9, 9, 9)], "{others:?}");
    }
    for (resolvers, expected) in [
        (vec![], RCODE::ServerFailure),
        (vec![nobody], RCODE::ServerFailure),
        (vec![nobody, refusing], RCODE::Refused),
        (vec![silent], RCODE::ServerFailure),
    ] {
        let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(resolvers.clone())).await;
        let answer = relay.ask(&asked).await;
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!((packet.id(), packet.rcode()), (1, expected), "{resolvers:?}");
        assert_eq!(packet.questions.len(), 1);
    }
    let gone = resolver(|query| Some(code(query, RCODE::NameError))).await;
    let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(vec![gone, good])).await;
    let answer = relay.ask(&asked).await;
    assert_eq!(Packet::parse(&answer).unwrap().rcode(), RCODE::NameError, "that is an answer");
}

#[tokio::test]
async fn only_answers_to_the_question_count() {
    let liar = resolver(|query| {
        let mut wrong = address(query, [6, 6, 6, 6]);
        // Another number.
        wrong[1] ^= 1;
        Some(wrong)
    })
    .await;
    let other = resolver(|bytes| {
        let id = u16::from_be_bytes([bytes[0], bytes[1]]);
        Some(address(&query(id, "example.com", TYPE::A), [6, 6, 6, 6]))
    })
    .await;
    for resolver in [liar, other] {
        let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(vec![resolver])).await;
        let answer = relay.ask(&query(1, "example.org", TYPE::A)).await;
        assert_eq!(Packet::parse(&answer).unwrap().rcode(), RCODE::ServerFailure);
    }
}

#[tokio::test]
async fn kinds_of_addresses_are_hidden() {
    let all = resolver(|query| Some(address(query, [9, 9, 9, 9]))).await;
    for (hidden, kind) in [(HiddenRecords::Ipv4, TYPE::A), (HiddenRecords::Ipv6, TYPE::AAAA)] {
        let relay = Relay::new(hidden, Resolvers::fixed(vec![all])).await;
        for shown in [TYPE::A, TYPE::AAAA, TYPE::TXT] {
            let answer = relay.ask(&query(1, "example.org", shown)).await;
            let packet = Packet::parse(&answer).unwrap();
            assert_eq!(packet.rcode(), RCODE::NoError);
            assert_eq!(packet.answers.is_empty(), shown == kind, "{hidden:?} {shown:?}");
        }
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_does_no_harm() {
    let relay = Relay::new(HiddenRecords::None, Resolvers::fixed(Vec::new())).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(relay.at).await.unwrap();
    // Nothing that could be answered: too short, or an answer itself, which would go round for ever.
    let mut answer = query(1, "example.org", TYPE::A);
    answer[2] |= 0x80;
    for ignored in [&b""[..], b"x", &[0; 11], &answer] {
        socket.send(ignored).await.unwrap();
    }
    // A name that never ends, one that points to itself, no question at all.
    let header = |questions| [0, 9, 1, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    for bytes in [
        [&header(1)[..], &[63; 200]].concat(),
        [&header(1)[..], &[63; 2000]].concat(),
        [&header(1)[..], &[0xc0, 12, 0, 1, 0, 1]].concat(),
        [&header(1)[..], &[1, b'x', 0, 0, 1]].concat(),
        header(0).to_vec(),
    ] {
        let answer = relay.ask(&bytes).await;
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!((packet.id(), packet.rcode()), (9, RCODE::FormatError), "{bytes:?}");
    }
    // A connection that breaks off in the middle of a message, and one whose length is a lie.
    for piece in [&[0][..], &[0, 200, 1, 2, 3]] {
        let mut stream = TcpStream::connect(relay.at).await.unwrap();
        stream.write_all(piece).await.unwrap();
        drop(stream);
    }
    let answer = relay.ask(&query(1, "host.docker.internal", TYPE::A)).await;
    assert_eq!(addresses(&answer).len(), 1);
}

#[tokio::test]
async fn changes_of_the_host_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    let write = |path: &Path, text: &str| sampan_sys::fs::write_atomic(path, text.as_bytes(), 0o644).unwrap();
    write(&file, "nameserver 10.1.0.1\n");
    let resolvers = Resolvers::of_files(vec![file.clone()], subnet());
    let mut changes = resolvers.0.clone();
    let now = |resolvers: &Resolvers| resolvers.now().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(now(&resolvers), ["10.1.0.1:53"]);
    // Replaced; made a link into another folder; and there.
    let mut wait_for = async |expected: &str| {
        changes
            .wait_for(|now| now.servers.first().is_some_and(|one| one.to_string() == expected))
            .await
            .unwrap();
    };
    write(&file, "nameserver 10.1.0.2\n");
    wait_for("10.1.0.2:53").await;
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere.join("stub"), "nameserver 10.1.0.3\n");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("elsewhere/stub", &file).unwrap();
    wait_for("10.1.0.3:53").await;
    write(&elsewhere.join("stub"), "nameserver 10.1.0.4\n");
    wait_for("10.1.0.4:53").await;
    std::fs::remove_file(&file).unwrap();
    wait_for("127.0.0.1:53").await;
}

#[test]
fn the_answer_of_a_resolver_may_write_the_name_otherwise() {
    let asked = query(1, "Example.ORG", TYPE::A);
    let answer = address(&query(1, "example.org", TYPE::A), [1, 1, 1, 1]);
    assert!(message::is_answer(&answer, &asked));
    assert!(!message::is_answer(&asked, &asked), "that is the query itself");
    let text = RData::TXT(TXT::new().with_string("x").unwrap());
    let elsewhere = query(1, "example.net", TYPE::A);
    let mut other = Packet::parse(&elsewhere).unwrap().into_reply();
    other.answers.push(ResourceRecord::new(Name::new("example.net").unwrap(), CLASS::IN, 1, text));
    assert!(!message::is_answer(&other.build_bytes_vec().unwrap(), &asked));
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_strange(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        starts_well in proptest::prelude::any::<bool>(),
    ) {
        if starts_well && bytes.len() > 12 {
            bytes[2] &= 0x7f;
            bytes[4..6].copy_from_slice(&[0, 1]);
        }
        if let Ok(Some(question)) = Question::of_query(&bytes) {
            let reply = question.reply(&bytes, Reply::Address(Ipv4Addr::LOCALHOST));
            proptest::prop_assert!(message::is_answer(&reply, &bytes));
            proptest::prop_assert_eq!(reply[6..8].to_vec(), vec![0, 1]);
        }
        message::is_answer(&bytes, &bytes);
        message::is_refusal(&bytes);
    }
}
