//! Reads values from their JSON: `{"S": "text"}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::item::map_payload;
use super::{DEPTH_MAX, Decimal, Item, Kind, NumberError, Value};
use crate::codec::put_bytes;
use crate::fault::{Fault, Invalid};
use crate::json::{Json, Members};

/// Bytes of an attribute's name.
const NAME_BYTES_MAX: usize = 65_535;

/// Reads one value.
pub(crate) fn read_value(json: &Json<'_>) -> Result<Value, Fault> {
    value(json, DEPTH_MAX)
}

/// Reads attributes by name: an item, or a key.
pub(crate) fn read_attributes(json: &Json<'_>) -> Result<Item, Fault> {
    let Json::Map(members) = json else { return Err(Fault::wrong_type(json, "Map")) };
    Ok(Item::of_checked(map(members, DEPTH_MAX)?))
}

fn value(json: &Json<'_>, depth: usize) -> Result<Value, Fault> {
    let Some(inner) = depth.checked_sub(1) else { return Err(Invalid::NestedTooDeep.into()) };
    let Json::Map(members) = json else { return Err(Fault::wrong_type(json, "AttributeValue")) };
    let mut given = members
        .iter()
        .filter(|(_, value)| *value != Json::Null)
        .filter_map(|(name, value)| Some((Kind::from_name(name)?, value)));
    let Some((kind, json)) = given.next() else { return Err(Invalid::EmptyValue.into()) };
    if given.next().is_some() {
        return Err(Invalid::SeveralTypes.into());
    }
    Ok(Value::new(kind, payload(kind, json, inner)?))
}

fn payload(kind: Kind, json: &Json<'_>, depth: usize) -> Result<Vec<u8>, Fault> {
    match (kind, json) {
        (Kind::S | Kind::N | Kind::B, Json::Text(text)) => scalar(kind, text),
        (Kind::Bool, Json::Bool(flag)) => Ok(vec![u8::from(*flag)]),
        (Kind::Null, Json::Bool(true)) => Ok(Vec::new()),
        (Kind::Null, Json::Bool(false)) => Err(Invalid::NullIsFalse.into()),
        (Kind::M, Json::Map(members)) => map(members, depth),
        (Kind::L, Json::List(values)) => {
            let mut out = Vec::new();
            for json in values {
                value(json, depth)?.as_ref().encode(&mut out);
            }
            Ok(out)
        }
        (Kind::Ss | Kind::Ns | Kind::Bs, Json::List(elements)) => set(kind, elements),
        (Kind::S | Kind::N | Kind::B, _) => Err(Fault::wrong_type(json, "String")),
        (Kind::Bool | Kind::Null, _) => Err(Fault::wrong_type(json, "Boolean")),
        (Kind::M, _) => Err(Fault::wrong_type(json, "Map")),
        (Kind::L | Kind::Ss | Kind::Ns | Kind::Bs, _) => Err(Fault::wrong_type(json, "List")),
    }
}

fn scalar(kind: Kind, text: &str) -> Result<Vec<u8>, Fault> {
    match kind {
        Kind::N => {
            let number = Decimal::parse(text).map_err(|error| Invalid::number(error, text))?;
            let mut out = Vec::with_capacity(8);
            number.encode(&mut out);
            Ok(out)
        }
        Kind::B => base64_simd::STANDARD.decode_to_vec(text).map_err(|_| Fault::NotBase64),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

fn set(kind: Kind, elements: &[Json<'_>]) -> Result<Vec<u8>, Fault> {
    let of_elements = kind.of_elements().expect("a set");
    let mut payloads = Vec::with_capacity(elements.len());
    for element in elements {
        let Json::Text(text) = element else { return Err(Fault::wrong_type(element, "String")) };
        payloads.push(scalar(of_elements, text)?);
    }
    if payloads.is_empty() {
        return Err(Invalid::EmptySet { kind }.into());
    }
    payloads.sort_unstable();
    if payloads.windows(2).any(|pair| pair[0] == pair[1]) {
        let texts = elements.iter().filter_map(|element| match element {
            Json::Text(text) => Some(text.as_ref()),
            _ => None,
        });
        return Err(Invalid::DuplicatesInSet {
            kind,
            elements: texts.take(20).collect::<Vec<_>>().join(", "),
        }
        .into());
    }
    let mut out = Vec::new();
    for payload in &payloads {
        put_bytes(&mut out, payload);
    }
    Ok(out)
}

fn map(members: &Members<'_>, depth: usize) -> Result<Vec<u8>, Fault> {
    let mut sorted = BTreeMap::new();
    for (name, json) in members {
        if name.is_empty() {
            return Err(Invalid::EmptyAttributeName.into());
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(Invalid::AttributeNameTooLong.into());
        }
        sorted.insert(Cow::Borrowed(name.as_ref()), value(json, depth)?);
    }
    Ok(map_payload(&sorted))
}

impl Invalid {
    /// A text of type N that is no number.
    pub(crate) fn number(error: NumberError, text: &str) -> Self {
        match error {
            NumberError::NotANumber => Self::NotANumber { text: text.chars().take(100).collect() },
            NumberError::TooManyDigits => Self::TooManyDigits,
            NumberError::Overflow => Self::NumberOverflow,
            NumberError::Underflow => Self::NumberUnderflow,
        }
    }
}
