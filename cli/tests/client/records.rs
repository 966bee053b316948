//! Records that can be checked: each has a key, and a number that counts up within its key.

use std::collections::BTreeMap;
use std::time::Duration;

use tidelog_client::{Connection, NewRecord, Producer, Reader, Receipt};

/// Record `number` of all, over so many keys.
pub fn record(number: usize, keys: usize) -> NewRecord {
    NewRecord::new(format!("key-{}", number % keys), text(number, keys))
}

/// The data of a record: key and number.
pub fn text(number: usize, keys: usize) -> String {
    format!("key-{},{}", number % keys, number / keys)
}

/// Sends records and waits for their receipts.
pub async fn send(producer: &Producer, numbers: std::ops::Range<usize>, keys: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in numbers {
        receipts.push(producer.send(record(number, keys)).await.expect("is accepted"));
    }
    receipts
}

/// Numbers by key, in the order in which they came.
#[derive(Debug, Default)]
pub struct Seen(pub BTreeMap<String, Vec<usize>>);

impl Seen {
    pub fn take(&mut self, text: &str) {
        let (key, number) = text.split_once(',').expect("a record of these tests");
        self.0.entry(key.to_owned()).or_default().push(number.parse().expect("a number"));
    }

    /// Everything that is in the stream now.
    pub async fn read(connection: &Connection, stream: &str) -> Self {
        let mut reader = Reader::builder(connection, stream).build().expect("is valid");
        let mut seen = Self::default();
        let reading = async {
            while let Some(read) = reader.next().await.expect("it goes well") {
                for record in read.records {
                    seen.take(std::str::from_utf8(&record.data).expect("text"));
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading).await.expect("ends at the tip");
        seen
    }

    /// Each record is there once, and each key's are in order.
    pub fn check_once_in_order(&self, count: usize, keys: usize) {
        self.check(count, keys, <[_]>::to_vec);
    }

    /// Each record is there at least once, and each key's came in order but for repeated ones.
    pub fn check_at_least_once_in_order(&self, count: usize, keys: usize) {
        self.check(count, keys, |numbers| {
            let mut first = Vec::new();
            for number in numbers {
                if !first.contains(number) {
                    first.push(*number);
                }
            }
            first
        });
    }

    fn check(&self, count: usize, keys: usize, came: impl Fn(&[usize]) -> Vec<usize>) {
        for key in 0..keys {
            let expected: Vec<usize> = (0..(key..count).step_by(keys).len()).collect();
            let numbers = self.0.get(&format!("key-{key}")).map_or(&[][..], Vec::as_slice);
            let came = came(numbers);
            let wrong = came.iter().zip(&expected).position(|(came, expected)| came != expected);
            assert!(
                came == expected,
                "key {key}: {} of {} came, first wrong at {wrong:?}: {:?}",
                came.len(),
                expected.len(),
                wrong.map(|at| &came[at.saturating_sub(2)..came.len().min(at + 5)])
            );
        }
    }
}
