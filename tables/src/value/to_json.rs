//! Writes values as JSON: `{"S":"text"}`.

use super::{Attributes, Decimal, Kind, ValueRef};
use crate::json::{write_base64, write_list, write_name, write_text};

/// Appends one value with its type.
pub(crate) fn write_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    out.push(b'{');
    out.push(b'"');
    out.extend_from_slice(value.kind.name().as_bytes());
    out.extend_from_slice(b"\":");
    match value.kind {
        Kind::S | Kind::N | Kind::B => write_scalar(out, value.kind, value.payload()),
        Kind::Bool => out.extend_from_slice(if value.payload() == [1] { b"true" } else { b"false" }),
        Kind::Null => out.extend_from_slice(b"true"),
        Kind::M => write_attributes(out, value.members()),
        Kind::L => write_list(out, value.list(), write_value),
        Kind::Ss | Kind::Ns | Kind::Bs => {
            let of_elements = value.kind.of_elements().expect("a set");
            write_list(out, value.elements(), |out, element| write_scalar(out, of_elements, element));
        }
    }
    out.push(b'}');
}

fn write_scalar(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    match kind {
        Kind::N => {
            out.push(b'"');
            Decimal::decode(payload).expect("checked when it was read").write(out);
            out.push(b'"');
        }
        Kind::B => write_base64(out, payload),
        _ => write_text(out, std::str::from_utf8(payload).expect("checked when it was read")),
    }
}

/// Appends attributes as a structure.
pub(crate) fn write_attributes(out: &mut Vec<u8>, attributes: Attributes<'_>) {
    write_attributes_where(out, attributes, |_| true);
}

/// Appends the attributes with chosen names as a structure.
pub(crate) fn write_attributes_where(
    out: &mut Vec<u8>,
    attributes: Attributes<'_>,
    is_chosen: impl Fn(&str) -> bool,
) {
    out.push(b'{');
    for (position, (name, value)) in attributes.filter(|(name, _)| is_chosen(name)).enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_name(out, name);
        write_value(out, value);
    }
    out.push(b'}');
}
