//! JSON as text: a bounded tree that borrows from the body of a request, and the writers of answers.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Values inside one another: a body around an item around 32 attribute values of two levels each.
const DEPTH_MAX: usize = 72;

/// Values of one body. A value takes many times more memory than the byte or two that can announce it.
const VALUES_MAX: usize = 400_000;

/// Members of a structure, in order.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// One value of a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Json<'a> {
    /// Present without a value; the protocol treats it as absent.
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Map(Members<'a>),
}

/// A body that is not one JSON value, or passes one of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Reads one value that fills the whole body.
pub(crate) fn parse(body: &[u8]) -> Result<Json<'_>, Unreadable> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let room = Room { depth: DEPTH_MAX, values: &Cell::new(VALUES_MAX) };
    let json = room.deserialize(&mut reader).map_err(|_| Unreadable)?;
    reader.end().map_err(|_| Unreadable)?;
    Ok(json)
}

/// Appends text in quotes with everything escaped that has to be.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text in memory can always be written");
}

/// Appends `"name":`.
pub(crate) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_text(out, name);
    out.push(b':');
}

/// Appends bytes as base64 in quotes.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    base64_simd::STANDARD.encode_append(bytes, out);
    out.push(b'"');
}

/// Writes members of a structure with commas between them.
pub(crate) struct Structure<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Structure<'a> {
    /// Begins a structure.
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// Writes the name of a member, and gives the place for its value.
    pub(crate) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        write_name(self.out, name);
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        write_text(self.member(name), text);
        self
    }

    pub(crate) fn number(&mut self, name: &str, number: impl fmt::Display) -> &mut Self {
        let out = self.member(name);
        out.extend_from_slice(number.to_string().as_bytes());
        self
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) -> &mut Self {
        self.member(name).extend_from_slice(if flag { b"true" } else { b"false" });
        self
    }

    /// Writes a member that is a structure.
    pub(crate) fn structure(&mut self, name: &str, write: impl FnOnce(&mut Structure<'_>)) -> &mut Self {
        let mut inner = Structure::begin(self.member(name));
        write(&mut inner);
        inner.end();
        self
    }

    /// Writes a member that is a list.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        parts: impl IntoIterator<Item = T>,
        write: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        write_list(self.member(name), parts, write);
        self
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends a list with commas between its parts.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    parts: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (position, part) in parts.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(out, part);
    }
    out.push(b']');
}

/// Writes one structure.
pub(crate) fn structure(write: impl FnOnce(&mut Structure<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut structure = Structure::begin(&mut out);
    write(&mut structure);
    structure.end();
    out
}

/// Reads one value, while there is room for it and for those inside it.
#[derive(Clone, Copy)]
struct Room<'r> {
    depth: usize,
    values: &'r Cell<usize>,
}

impl Room<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Room<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self.values.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.values.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Room<'_> {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Double(value as f64), Json::Integer))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Double(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(inner)? {
            elements.push(element);
        }
        Ok(Json::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value_seed(inner)?));
        }
        Ok(Json::Map(members))
    }
}

/// Reads the name of a member, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(Unreadable));
        assert_eq!(parse("{\"a\":".repeat(1_000_000).as_bytes()), Err(Unreadable));
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(list(VALUES_MAX - 1).as_bytes()).is_ok());
        assert_eq!(parse(list(VALUES_MAX).as_bytes()), Err(Unreadable));
        for text in ["", "{", "{}x", "{} {}", "[1,]", "\"\\ud800\""] {
            assert_eq!(parse(text.as_bytes()), Err(Unreadable), "{text}");
        }
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let Ok(Json::Map(members)) = parse(br#"{"a":"b","c\n":"\u00e9"}"#) else { panic!("a structure") };
        assert!(matches!(&members[0], (Cow::Borrowed("a"), Json::Text(Cow::Borrowed("b")))));
        assert_eq!(members[1], (Cow::Owned("c\n".to_owned()), Json::Text(Cow::Owned("é".to_owned()))));
    }
}
