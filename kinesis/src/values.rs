//! Values that JSON has no form for: bytes, as base64, and points in time, as seconds with a fraction.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use base64_simd::STANDARD;
use bytes::Bytes;

/// Bytes of a record; base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode_to_vec(text.as_bytes());
        bytes.map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("data that is not base64"))
    }
}

/// A point in time, in milliseconds since 1970; seconds with a fraction on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Out of range saturates, which is as good as any answer to nonsense.
        Ok(Self((seconds * 1000.0).round() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_over_the_wire_and_back() {
        let blob = Blob(Bytes::from_static(b"\x00\xff{"));
        assert_eq!(serde_json::to_string(&blob).expect("a string"), "\"AP97\"");
        assert_eq!(serde_json::from_str::<Blob>("\"AP97\"").expect("base64"), blob);
        assert!(serde_json::from_str::<Blob>("\"AP9\"").is_err());
        for (text, milliseconds) in
            [("1795309418.985", 1_795_309_418_985), ("1.795309418E9", 1_795_309_418_000), ("0", 0)]
        {
            let time: Timestamp = serde_json::from_str(text).expect("a number");
            assert_eq!(time, Timestamp(milliseconds));
            let back = serde_json::to_string(&time).expect("a number");
            assert_eq!(serde_json::from_str::<Timestamp>(&back).expect("a number"), time);
        }
    }
}
