//! JSON as dockerd reads it.
//!
//! A body is patched, never made anew: what this program does not know must reach dockerd as it came. And it must say to
//! dockerd what it said here, or a source would pass that was never looked at.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a body can't be looked through.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonError {
    #[error("invalid JSON: {0}")]
    Invalid(#[from] serde_json::Error),
    /// Readers differ in which one counts, and dockerd's puts together what they say.
    #[error("invalid JSON: the key {0:?} is there twice")]
    Twice(String),
}

/// A value, as it is written in the body.
#[derive(Clone, Copy)]
pub(super) struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// Reads a whole body.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, JsonError> {
        Ok(Self(serde_json::from_slice(body)?))
    }

    /// How it is written, in the body that was parsed.
    pub(super) fn text(self) -> &'a str {
        self.0.get()
    }

    /// The member that dockerd takes for the field of this name: Go's decoder does not mind case. None too where this is
    /// no object.
    pub(super) fn field(self, name: &str) -> Result<Option<Self>, JsonError> {
        self.member(|key| is_same(key, name))
    }

    /// The member of this very name, as in a map.
    pub(super) fn entry(self, name: &str) -> Result<Option<Self>, JsonError> {
        self.member(|key| key == name)
    }

    /// The items of a list; none where this is no list.
    pub(super) fn items(self) -> Result<Vec<Self>, JsonError> {
        struct Items<'a>(Vec<Json<'a>>);
        impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_seq(List).map(Self)
            }
        }
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Vec<Json<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element::<&RawValue>()? {
                    list.push(Json(item));
                }
                Ok(list)
            }
        }
        if !self.text().starts_with('[') {
            return Ok(Vec::new());
        }
        Ok(serde_json::from_str::<Items<'a>>(self.text())?.0)
    }

    /// The string; none where this is none.
    pub(super) fn string(self) -> Result<Option<String>, JsonError> {
        if !self.text().starts_with('"') {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(self.text())?))
    }

    fn member(self, is_meant: impl Fn(&str) -> bool) -> Result<Option<Self>, JsonError> {
        if !self.text().starts_with('{') {
            return Ok(None);
        }
        let mut reader = serde_json::Deserializer::from_str(self.text());
        let mut meant = reader.deserialize_map(Members(is_meant))?.into_iter();
        match (meant.next(), meant.next()) {
            (Some(_), Some((key, _))) => Err(JsonError::Twice(key)),
            (first, _) => Ok(first.map(|(_, value)| value)),
        }
    }
}

/// Whether Go's decoder takes a key for a field's (ASCII) name.
fn is_same(key: &str, name: &str) -> bool {
    // The two letters beyond ASCII that fold to one in it.
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// Picks the members that are meant.
struct Members<F>(F);

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Members<F> {
    type Value = Vec<(String, Json<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut meant = Vec::new();
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if (self.0)(&key) {
                meant.push((key.into_owned(), Json(members.next_value::<&RawValue>()?)));
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str, name: &str) -> Result<Option<String>, JsonError> {
        let body = Json::parse(text.as_bytes())?;
        Ok(body.field(name)?.map(|value| value.text().to_owned()))
    }

    #[test]
    fn names_fold_as_in_go() {
        for key in ["HostConfig", "hostconfig", "HOſTCONFIG", "HostConfiG", r"\u0048ostConfig"] {
            assert_eq!(
                field(&format!("{{\"Host\":1,\"{key}\": [ 2 ]}}"), "HostConfig").unwrap().unwrap(),
                "[ 2 ]"
            );
        }
        assert!(is_same("Linu\u{78}\u{212a}", "LinuxK"));
        for body in ["{\"Host\":1}", "null", "[]", "7", "\"HostConfig\""] {
            assert_eq!(field(body, "HostConfig").unwrap(), None, "{body}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":1,"b":2,"A":3}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(field(body, "a").unwrap_err().to_string().contains("is there twice"), "{body}");
        }
        // In a map these are two.
        let map = Json::parse(br#"{"a":1,"A":2}"#).unwrap();
        assert_eq!(map.entry("A").unwrap().unwrap().text(), "2");
        for body in ["{} {}", "{\"a\":1}x", "", "{", "\u{feff}{}", "{\"a\":1,}"] {
            assert!(Json::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn lists_and_strings() {
        let body = Json::parse(r#" ["a\u00fc", 7 , null, {"x":[1]}] "#.as_bytes()).unwrap();
        let items = body.items().unwrap();
        assert_eq!(
            items.iter().map(|item| item.text()).collect::<Vec<_>>(),
            [r#""a\u00fc""#, "7", "null", r#"{"x":[1]}"#]
        );
        assert_eq!(items[0].string().unwrap().as_deref(), Some("aü"));
        assert_eq!(items[1].string().unwrap(), None);
        assert!(items[3].items().unwrap().is_empty());
        assert!(Json::parse(br#""\ud800""#).unwrap().string().is_err());
    }
}
