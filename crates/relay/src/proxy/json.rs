//! JSON as dockerd reads it.
//!
//! A body is patched, never made anew from types: what this program does not know must reach dockerd. And it must say
//! to dockerd what it said here, or a source would pass that was never looked at.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses a whole body. A key that is there twice is an error: readers differ in which one counts.
pub(super) fn parse(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Strict.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// All members that dockerd takes for the one of this name: Go's decoder does not mind case.
pub(super) fn members<'a>(value: &'a mut Value, name: &'a str) -> impl Iterator<Item = &'a mut Value> {
    value
        .as_object_mut()
        .into_iter()
        .flat_map(|object| object.iter_mut())
        .filter_map(move |(key, value)| is_same(key, name).then_some(value))
}

/// Whether Go's decoder takes a key for a field's (ASCII) name.
pub(super) fn is_same(key: &str, name: &str) -> bool {
    // The two letters beyond ASCII that fold to one in it.
    let fold = |letter: char| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            object.insert(key, members.next_value_seed(Strict)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_survives_in_its_order() {
        let text = r#"{"Z":9223372036854775807,"a":18446744073709551615,"b":[-1,1.5,null,true,"ü\u0000"],"A":{"c":{}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [r#"{"a":1,"a":2}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(parse(body.as_bytes()).unwrap_err().to_string().contains("is there twice"), "{body}");
        }
        for body in ["{} {}", "{\"a\":1}x", "", "{", "\u{feff}{}"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn names_fold_as_in_go() {
        let mut value =
            parse(r#"{"HostConfig":1,"hostconfig":2,"HOſTCONFIG":3,"Host":4,"HostConfiG":5}"#.as_bytes())
                .unwrap();
        assert_eq!(
            members(&mut value, "HostConfig").map(|v| v.as_i64().unwrap()).collect::<Vec<_>>(),
            [1, 2, 3, 5]
        );
        assert!(is_same("Linu\u{78}\u{212a}", "LinuxK"));
        assert_eq!(members(&mut Value::Null, "a").count(), 0);
    }
}
