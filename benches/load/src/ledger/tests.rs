//! Planted violations, and behaviour that is none.

use super::*;

const RUN: u32 = 7;
const SHARDS: [&str; 2] = ["shardId-000000000000", "shardId-000000000001"];

type Entry = (String, Vec<u8>);

/// Two producers with six requests of two records each, spread over two shards in turn; the last request of the
/// second one was refused, the one before it is of unknown outcome and was not written.
struct Scene {
    ledger: Ledger,
    filler: Filler,
    shards: [Vec<Entry>; 2],
}

fn scene() -> Scene {
    let filler = Filler::new(RUN, 100);
    let mut ledger = Ledger { batch: 2, answers: vec![Answers::default(), Answers::default()] };
    let mut shards = [Vec::new(), Vec::new()];
    for request in 0..6_u64 {
        for producer in 0..2_u16 {
            let answers = &mut ledger.answers[usize::from(producer)];
            answers.send(request * 2, 2);
            for sequence in request * 2..request * 2 + 2 {
                match (producer, request) {
                    (1, 5) => answers.refuse(sequence),
                    (1, 4) => {}
                    _ => {
                        let shard = (sequence % 2) as usize;
                        let number = (9_990 + sequence * 2 + u64::from(producer)).to_string();
                        answers
                            .acknowledge(sequence, fingerprint(SHARDS[shard].as_bytes(), number.as_bytes()));
                        shards[shard].push((number, data(&filler, producer, sequence)));
                    }
                }
            }
        }
    }
    Scene { ledger, filler, shards }
}

fn data(filler: &Filler, producer: u16, sequence: u64) -> Vec<u8> {
    let header = Header { run: RUN, producer, sequence, due_ns: 1, length: 64 };
    [&header.encode()[..], filler.piece((sequence % 2) as usize, 64)].concat()
}

fn judged(scene: &Scene) -> Verdict {
    let mark = Mark { run: RUN, batch: 2, is_alone: false, keeps: true };
    let reading = SHARDS.iter().zip(&scene.shards).map(|(shard, records)| {
        let mut log = ShardLog::new(shard);
        for (number, data) in records {
            log.take(&mark, &scene.filler, number, data);
        }
        log
    });
    verify(&scene.ledger, &[reading.collect()])
}

#[test]
fn a_faithful_endpoint_is_clean() {
    let verdict = judged(&scene());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.acknowledged, verdict.readings, verdict.unknown_read), (20, 1, 0));
}

#[test]
fn a_record_of_unknown_outcome_may_appear_and_a_foreign_one_too() {
    let mut scene = scene();
    let late = data(&scene.filler, 1, 8);
    scene.shards[0].push(("99999".into(), late.clone()));
    scene.shards[0].push(("999999".into(), b"of somebody else, and long enough".to_vec()));
    let verdict = judged(&scene);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.unknown_read, verdict.violations.foreign), (1, 1));
    scene.shards[1].push(("99999".into(), late));
    assert_eq!(judged(&scene).violations.duplicated, 1, "but only once");
}

#[test]
fn every_planted_violation_is_found() {
    let kinds = |change: fn(&mut Kinds)| {
        let mut kinds = Kinds::default();
        change(&mut kinds);
        kinds
    };
    type Plant = fn(&mut Scene);
    let planted: [(&str, Plant, Kinds); 9] = [
        ("loss", |scene| drop(scene.shards[0].remove(3)), kinds(|kinds| kinds.missing = 1)),
        (
            "a record read again, under its own number",
            |scene| {
                let again = scene.shards[0][3].clone();
                scene.shards[0].insert(4, again);
            },
            kinds(|kinds| (kinds.duplicated, kinds.disordered) = (1, 1)),
        ),
        (
            "a record written twice",
            |scene| {
                let again = ("99999".into(), scene.shards[0].last().expect("records").1.clone());
                scene.shards[0].push(again);
            },
            kinds(|kinds| (kinds.duplicated, kinds.misplaced) = (1, 1)),
        ),
        ("disorder of what is read", |scene| scene.shards[0].swap(4, 5), kinds(|kinds| kinds.disordered = 1)),
        (
            "requests that overtake",
            |scene| {
                // The records of two requests of the first producer change places, numbers and acknowledgements too.
                let (one, other) = (scene.shards[0][0].1.clone(), scene.shards[0][2].1.clone());
                (scene.shards[0][0].1, scene.shards[0][2].1) = (other, one);
                scene.ledger.answers[0].0.swap(0, 2);
            },
            kinds(|kinds| kinds.overtaken = 1),
        ),
        ("a flipped bit", |scene| scene.shards[1][2].1[63] ^= 1, kinds(|kinds| kinds.corrupted = 1)),
        (
            "another number than acknowledged",
            |scene| scene.shards[1].last_mut().expect("records").0 = "99999".into(),
            kinds(|kinds| kinds.misplaced = 1),
        ),
        (
            "a refused record that was written",
            |scene| {
                let refused = data(&scene.filler, 1, 10);
                scene.shards[0].push(("99999".into(), refused));
            },
            kinds(|kinds| kinds.refused = 1),
        ),
        (
            "a record that nobody has sent",
            |scene| {
                let invented = data(&scene.filler, 1, 1_000);
                scene.shards[0].push(("99999".into(), invented));
            },
            kinds(|kinds| kinds.unsent = 1),
        ),
    ];
    for (name, plant, expected) in planted {
        let mut scene = scene();
        plant(&mut scene);
        let verdict = judged(&scene);
        assert_eq!(verdict.violations, expected, "{name}: {:?}", verdict.examples);
        assert!(!verdict.is_clean() && !verdict.examples.is_empty(), "{name}");
    }
}

#[test]
fn each_reading_counts_by_itself() {
    let scene = scene();
    let verdict = verify(&scene.ledger, &[Vec::new(), Vec::new()]);
    assert_eq!((verdict.violations.missing, verdict.examples.len()), (40, EXAMPLES_MAX));
}
