//! Tests of the log: its queue, its filters, and places that log once a second.

use std::sync::mpsc::channel;

use super::*;

/// Takes lines while its gate is open; fails when `is_broken`.
struct Reader {
    gate: Receiver<()>,
    taken: Arc<Mutex<Vec<u8>>>,
    is_broken: bool,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A closed gate is an open one.
        let _ = self.gate.recv();
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.taken.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts are the process's, so a single test checks them.
#[test]
fn a_line_that_cannot_be_written_is_dropped_and_counted() {
    let before = dropped().unwritten;
    let (open, gate) = channel();
    drop(open);
    let broken =
        Lines::start(Box::new(Reader { gate, taken: Arc::default(), is_broken: true }), LogFormat::Text)
            .unwrap();
    assert_eq!((&broken).write(b"lost\n").unwrap(), 5, "whoever logs sees no error");
    broken.flush(Duration::from_secs(60));
    assert_eq!(dropped().unwritten, before + 1);

    let (open, gate) = channel();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let stalled =
        Lines::start(Box::new(Reader { gate, taken: taken.clone(), is_broken: false }), LogFormat::Json)
            .unwrap();
    // The thread may hold one line beside those of the queue.
    for _ in 0..QUEUE_LINES_MAX + 3 {
        stalled.push(b"line\n".to_vec());
    }
    let lost = dropped().unwritten - before - 1;
    assert!((2..=3).contains(&lost), "{lost}");
    drop(open);
    stalled.flush(Duration::from_secs(60));
    stalled.push(b"last\n".to_vec());
    stalled.flush(Duration::from_secs(60));
    let taken = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
    assert!(taken.contains(&format!("\"log: {lost} lines could not be written\"}}")), "{taken}");
    assert!(taken.ends_with("last\n"));
}

#[test]
fn lines_of_requests_take_half_of_the_queue() {
    let (open, gate) = channel();
    let lines =
        Lines::start(Box::new(Reader { gate, taken: Arc::default(), is_broken: false }), LogFormat::Text)
            .unwrap();
    for _ in 0..REQUEST_LINES_MAX {
        assert!(lines.has_room_for_request());
        lines.push(b"line\n".to_vec());
    }
    // The thread takes one line, and waits with it at the gate.
    lines.push(b"line\n".to_vec());
    assert!(!lines.has_room_for_request());
    drop(open);
    lines.flush(Duration::from_secs(60));
    assert!(lines.has_room_for_request());
}

#[test]
fn a_level_is_that_of_tidelog_and_leaves_other_crates_at_warn() {
    for (filter, expected) in [
        ("debug", "tidelog::requests=info,warn,tidelog=debug"),
        ("info,openraft=error", "tidelog::requests=info,warn,tidelog=info,openraft=error"),
        ("TRACE, h2=debug", "tidelog::requests=info,warn,tidelog=TRACE,h2=debug"),
        ("error", "tidelog::requests=info,error"),
        ("off,tidelog::wire=debug", "tidelog::requests=info,off,tidelog::wire=debug"),
        ("info,tidelog::requests=off", "tidelog::requests=info,warn,tidelog=info,tidelog::requests=off"),
    ] {
        assert_eq!(directives(filter), expected);
        assert!(parsed(filter).is_ok(), "{filter}");
    }
    assert!(parsed("tidelog=loud").is_err());
}

#[test]
fn a_place_logs_once_a_second_and_counts_the_others() {
    let place = LogSite::new();
    let now = Instant::now();
    assert_eq!(place.admit_at(now), Some(0));
    for _ in 0..1_000 {
        assert_eq!(place.admit_at(now + Duration::from_millis(999)), None);
    }
    assert_eq!(place.admit_at(now + Duration::from_secs(1)), Some(1_000));
    assert_eq!(place.admit_at(now + Duration::from_secs(3)), Some(0));
    assert!(dropped().repeated >= 1_000);
}
