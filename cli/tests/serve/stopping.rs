//! A stop ends in time, even if clients misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use tidelog_testkit::process::Running;

use crate::tidelog;

/// The time that a process may take to stop.
const STOP_MAX: Duration = Duration::from_secs(8);

#[test]
fn clients_that_neither_go_on_nor_go_away_do_not_hold_up_a_stop() {
    let mut broker = Running::start(tidelog().args(["--ephemeral", "--listen", "127.0.0.1:0"]));
    let connect = |first: &[u8]| {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream.write_all(first).unwrap();
        stream
    };
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n\
                X-Amz-Target: Kinesis_20131202.ListStreams\r\nContent-Length: 1000\r\n\r\n{";
    let mut half = connect(head.as_bytes());
    let mut silent = connect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    silent.read_exact(&mut [0; 9]).unwrap();
    let handshake = connect(&[0x16, 3, 1]);
    let half_head = connect(b"POST / HTT");
    // The connection is served, and the bytes sent before are taken.
    let mut whole = connect(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    whole.read_exact(&mut [0; 12]).unwrap();
    broker.signal(Signal::TERM);
    let began = Instant::now();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("ServiceUnavailable"), "{answer}");
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    drop((silent, handshake, half_head, whole));
}
