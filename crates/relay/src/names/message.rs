//! Questions and answers: of a message only what is before the records, which may be of kinds that nobody here knows
//! (RFC 1035, 4.1).

use std::net::Ipv4Addr;

/// Length of the header.
const HEADER: usize = 12;
/// Type and class of a question.
const KIND: usize = 4;
/// The longest name (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// The most that a datagram of ours would have, as told to clients that ask (RFC 6891; the DNS flag day of 2020).
const DATAGRAM: u16 = 1232;
/// How long an address of ours may be remembered, in seconds.
const LIFETIME: u32 = 60;

/// The first bit of the flags: it is an answer.
const ANSWER: u8 = 0x80;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Other,
}

/// The question of a message.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// As it was written.
    pub(super) name: String,
    pub(super) kind: Kind,
    bytes: &'a [u8],
}

/// An answer of our own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Address(Ipv4Addr),
    /// The name is there and has nothing of the kind.
    Empty,
    /// No resolver has answered.
    Failure,
}

impl<'a> Question<'a> {
    /// The question of `query`; none: it is no query. An error is the answer to one that is not understood.
    pub(super) fn of_query(query: &'a [u8]) -> Result<Option<Self>, Vec<u8>> {
        if query.len() < HEADER || query[2] & ANSWER != 0 {
            return Ok(None);
        }
        Self::of(query).map(Some).ok_or_else(|| header(query, 1, [0, 0, 0]))
    }

    fn of(message: &'a [u8]) -> Option<Self> {
        if u16::from_be_bytes([*message.get(4)?, *message.get(5)?]) == 0 {
            return None;
        }
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // More than 63 is no length but a link to another place of the message, of which there is none before this.
            if length > 63 || at - HEADER + length > LONGEST_NAME {
                return None;
            }
            labels.push(String::from_utf8_lossy(message.get(at..at + length)?));
            at += length;
        }
        let kind = match message.get(at..at + KIND)? {
            [0, 1, ..] => Kind::A,
            [0, 28, ..] => Kind::Aaaa,
            _ => Kind::Other,
        };
        Some(Self { name: labels.join("."), kind, bytes: &message[HEADER..at + KIND] })
    }

    /// The answer to `query`, whose question this is.
    pub(super) fn reply(&self, query: &[u8], reply: Reply) -> Vec<u8> {
        let end = HEADER + self.bytes.len();
        // Who speaks EDNS is answered in it, or takes us for a server of the last century: its record has the root's name
        // and the type 41.
        let speaks_edns =
            query[6..10] == [0; 4] && query[10..12] != [0; 2] && query[end..].starts_with(&[0, 0, 41]);
        let (code, answers) = match reply {
            Reply::Address(_) => (0, 1),
            Reply::Empty => (0, 0),
            Reply::Failure => (2, 0),
        };
        let mut message = header(query, code, [1, answers, u8::from(speaks_edns)]);
        message.extend(self.bytes);
        if let Reply::Address(address) = reply {
            // The name of the question, by a link to it; an address of the internet.
            message.extend([0xc0, 12, 0, 1, 0, 1]);
            message.extend(LIFETIME.to_be_bytes());
            message.extend([0, 4]);
            message.extend(address.octets());
        }
        if speaks_edns {
            message.extend([0, 0, 41]);
            message.extend(DATAGRAM.to_be_bytes());
            message.extend([0; 6]);
        }
        message
    }
}

/// The header of the answer to `query`; `counts`: questions, answers, additional records.
fn header(query: &[u8], code: u8, counts: [u8; 3]) -> Vec<u8> {
    // Kind of question and "recursion desired" as they were; recursion is available.
    let flags = [ANSWER | query[2] & 0x79, 0x80 | code];
    let [questions, answers, more] = counts;
    [&query[..2], &flags, &[0, questions, 0, answers, 0, 0, 0, more]].concat()
}

/// Whether `answer` is one to `query`: its number and question are the same.
pub(super) fn is_answer(answer: &[u8], query: &[u8]) -> bool {
    if answer.len() < HEADER || answer[2] & ANSWER == 0 || answer[..2] != query[..2] {
        return false;
    }
    match (Question::of(answer), Question::of(query)) {
        (Some(answer), Some(query)) => {
            let ((name, kind), (asked, wanted)) = (split(answer.bytes), split(query.bytes));
            name.eq_ignore_ascii_case(asked) && kind == wanted
        }
        // Some servers refuse without saying what.
        _ => is_refusal(answer),
    }
}

fn split(question: &[u8]) -> (&[u8], &[u8]) {
    question.split_at(question.len() - KIND)
}

/// Whether another resolver may know better.
pub(super) fn is_refusal(answer: &[u8]) -> bool {
    // The last four bits of the header's flags: format error, server failure, not implemented, refused.
    answer.get(3).is_some_and(|flags| matches!(flags & 0xf, 1 | 2 | 4 | 5))
}
