//! Both ways of reading a PutRecords in CBOR must agree.

use proptest::prelude::*;
use tidelog_proto::Document;
use tidelog_proto::cbor as codec;

use super::*;
use crate::ops::api::PutRecordsInput;
use crate::ops::cases;
use crate::service::Payload;

/// Reads a body in both ways, which must agree when the fast one takes it. Returns whether it did.
fn read_both(body: Vec<u8>) -> bool {
    let stream = cases::stream("a", 1);
    let call = Call { codec: Codec::Cbor, body: body.into(), ..cases::call("") };
    let Some((stream_name, entries)) = cbor::read(&call.body) else { return false };
    let input = cases::read::<PutRecordsInput>(&call).expect("what the fast way takes is within bounds");
    assert_eq!(input.stream_name.as_deref(), Some(stream_name));
    let slow = super::entries(&input).collect::<Vec<_>>();
    assert_eq!(records(&stream, &entries), records(&stream, &slow));
    true
}

/// A structure without a length, as Jackson writes it.
fn open(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xbf];
    for (name, value) in members {
        codec::write_text(&mut out, name);
        out.extend_from_slice(value);
    }
    out.push(0xff);
    out
}

const NAME: (&str, &[u8]) = ("StreamName", b"\x61a");
const DATA: (&str, &[u8]) = ("Data", b"\x42hi");
const KEY: (&str, &[u8]) = ("PartitionKey", b"\x61k");

fn list(records: &[Vec<u8>]) -> Vec<u8> {
    [&[0x9f][..], &records.concat(), &[0xff]].concat()
}

#[test]
fn the_usual_request_is_read_without_a_copy() {
    let body = open(&[NAME, ("Records", &list(&[open(&[DATA, KEY]), open(&[KEY, DATA])]))]);
    let (stream_name, entries) = cbor::read(&body).unwrap();
    let records = records(&cases::stream("a", 1), &entries).unwrap();
    assert_eq!((stream_name, records.len()), ("a", 2));
    let Payload::Raw(data) = records[0].data else { panic!("the data is raw") };
    assert_eq!(data, b"hi");
    assert!(body.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn oddities_take_the_slow_path() {
    let one = list(&[open(&[DATA, KEY])]);
    let in_record = |members: &[(&str, &[u8])]| open(&[NAME, ("Records", &list(&[open(members)]))]);
    for (body, is_fast) in [
        (open(&[NAME, ("Records", &one)]), true),
        (open(&[("Records", &one), NAME]), true),
        (in_record(&[DATA, KEY, ("ExplicitHashKey", b"\x617")]), true),
        (open(&[NAME]), false),
        (open(&[("Records", &one)]), false),
        (open(&[NAME, NAME, ("Records", &one)]), false),
        (open(&[NAME, ("Records", &one), ("DryRun", b"\xf4")]), false),
        (open(&[NAME, ("Records", &list(&[]))]), false),
        (open(&[NAME, ("Records", &list(&vec![open(&[DATA, KEY]); 501]))]), false),
        (in_record(&[KEY]), false),
        (in_record(&[DATA]), false),
        (in_record(&[DATA, DATA, KEY]), false),
        (in_record(&[("Data", b"\x62hi"), KEY]), false),
        (in_record(&[("Data", b"\x5f\x42hi\xff"), KEY]), false),
        (in_record(&[DATA, ("PartitionKey", b"\x60")]), false),
        (in_record(&[DATA, KEY, ("ExplicitHashKey", b"\x6207")]), false),
        (in_record(&[DATA, KEY, ("ExplicitHashKey", b"\xf6")]), false),
        ([open(&[NAME, ("Records", &one)]), vec![0]].concat(), false),
    ] {
        assert_eq!(read_both(body.clone()), is_fast, "{body:02x?}");
    }
}

/// Requests that are nearly right.
fn any_body() -> impl Strategy<Value = Document> {
    let scalar = prop_oneof![
        Just(Document::Null),
        "[a-z0-9]{0,4}".prop_map(Document::Text),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(|bytes| Document::Blob(bytes.into())),
        any::<i64>().prop_map(Document::Integer),
    ];
    let member = prop_oneof![4 => Just("Data"), 4 => Just("PartitionKey"), 2 => Just("ExplicitHashKey"), 1 => Just("Other")];
    let named = |(name, value): (&'static str, Document)| (name.into(), value);
    let record =
        prop::collection::vec((member, scalar.clone()).prop_map(named), 0..5).prop_map(Document::Map);
    (prop::collection::vec(record, 0..4), scalar)
        .prop_map(|(records, name)| Document::structure([("StreamName", name), ("Records", records.into())]))
}

proptest! {
    #[test]
    fn the_fast_path_never_differs(document in any_body(), flips in prop::collection::vec(any::<(u16, u8)>(), 0..3)) {
        let mut body = codec::encode(&document);
        let length = body.len();
        for (at, byte) in flips {
            body[usize::from(at) % length] = byte;
        }
        read_both(body);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        read_both(body);
    }
}
