//! Facts lead to the right findings.

use std::collections::BTreeMap;
use std::time::Duration;

use tidelog_proto::v1::DescribeGroupResponse;
use tidelog_proto::v1::describe_group_response::{Member, Shard as GroupShard};

use super::*;
use crate::command::doctor::facts::Group;
use crate::command::doctor::sample::{Amount, Key, Limits, Rate, Sample};
use crate::command::doctor::throttles::{Reading, Refused, Throttles};
use tidelog_client::Shard;

const SPAN: Duration = Duration::from_secs(10);

fn id(number: usize) -> String {
    format!("shardId-{number:012}")
}

/// A provisioned stream with shards of equal ranges and these samples.
pub(in crate::command::doctor) fn facts(shards: usize, samples: &[Sample]) -> Facts {
    let size = u128::MAX / shards as u128;
    let shard = |at: usize| Shard {
        shard_id: id(at),
        range: at as u128 * size..=at as u128 * size + (size - 1),
        parents: Vec::new(),
        is_open: true,
    };
    Facts {
        stream: "clicks".into(),
        is_on_demand: false,
        retention_hours: 24,
        shards: (0..shards).map(shard).collect(),
        span: SPAN,
        samples: samples.to_vec(),
        groups: Vec::new(),
        applications: Vec::new(),
        throttles: None,
        limits: Limits::default(),
        damaged: Vec::new(),
        unknown: Vec::new(),
    }
}

/// Makes the sample of a shard that took its records within [`SPAN`], evenly: keys with how many records and
/// how much data in each.
pub(in crate::command::doctor) fn sample(shard: usize, keys: &[(&str, u64, u64)]) -> Sample {
    let key = |(name, records, bytes): &(&str, u64, u64)| Key {
        name: (*name).into(),
        amount: Amount { records: *records, bytes: records * (name.len() as u64 + bytes) },
    };
    let keys: Vec<Key> = keys.iter().map(key).collect();
    let mut amount = Amount::default();
    keys.iter().for_each(|key| amount.add(key.amount));
    let seconds = SPAN.as_secs_f64();
    let rate = Rate { records: amount.records as f64 / seconds, bytes: amount.bytes as f64 / seconds };
    Sample {
        shard_id: id(shard),
        amount,
        rate,
        busiest: rate,
        keyed: amount,
        distinct_keys: keys.len() as u64,
        keys,
    }
}

/// Makes so many keys of the same weight, with so many records in all.
fn spread(shard: usize, records: u64, bytes: u64) -> Sample {
    let names: Vec<String> = (0..50).map(|at| format!("{shard}-{at:02}")).collect();
    let keys: Vec<_> = names.iter().map(|name| (name.as_str(), records / 50, bytes)).collect();
    sample(shard, &keys)
}

/// A group with members `1`, `2`, …; its shards by owner and milliseconds behind, 5 records each unless that is 0.
pub(in crate::command::doctor) fn group(name: &str, members: usize, shards: &[(&str, u64)]) -> Group {
    let member = |at: usize| Member { member_id: (at + 1).to_string(), ..Member::default() };
    let shard = |(at, (owner, millis)): (usize, &(&str, u64))| GroupShard {
        shard_id: id(at),
        member_id: (*owner).into(),
        records_behind: Some(if *millis == 0 { 0 } else { 5 }),
        millis_behind: Some(*millis),
        ..GroupShard::default()
    };
    let described = DescribeGroupResponse {
        lease_ms: 10_000,
        members: (0..members).map(member).collect(),
        shards: shards.iter().enumerate().map(shard).collect(),
    };
    Group { name: name.into(), described }
}

/// Kind and severity of each finding.
fn kinds(facts: &Facts) -> Vec<(&'static str, &'static str)> {
    all(facts).iter().map(|finding| (finding.kind, finding.severity.word())).collect()
}

/// A name, the shards' samples, the findings, and the command that the first of them advises.
type Case = (&'static str, Vec<Sample>, &'static [(&'static str, &'static str)], Option<&'static str>);

#[test]
fn loads_are_judged_by_limits_and_by_evenness() {
    let command = |facts: &Facts| all(facts).first().and_then(|finding| finding.command.clone());
    let cases: [Case; 7] = [
        ("even", vec![spread(0, 3000, 10), spread(1, 3000, 10)], &[], None),
        (
            "one near",
            vec![spread(0, 9000, 10), spread(1, 1000, 10), spread(2, 1000, 10)],
            &[("full", "warning")],
            Some("tidelog stream reshard clicks --split 0"),
        ),
        (
            "by bytes",
            vec![spread(0, 1000, 11_000), spread(1, 1000, 10), spread(2, 1000, 10)],
            &[("full", "critical")],
            Some("tidelog stream reshard clicks --split 0"),
        ),
        (
            "all near",
            vec![spread(0, 9000, 10), spread(1, 9800, 10)],
            &[("full", "critical")],
            Some("tidelog stream reshard clicks --shards 4"),
        ),
        (
            "uneven",
            vec![spread(0, 4000, 10), spread(1, 500, 10)],
            &[("uneven_load", "warning")],
            Some("tidelog stream reshard clicks --split 0"),
        ),
        ("uneven and light", vec![spread(0, 400, 10), spread(1, 50, 10)], &[("uneven_load", "notice")], None),
        ("too few to tell", vec![spread(0, 50, 10), spread(1, 0, 10)], &[], None),
    ];
    for (name, samples, expected, advised) in cases {
        let facts = facts(samples.len(), &samples);
        assert_eq!(kinds(&facts), expected, "{name}");
        if advised.is_some() {
            assert_eq!(command(&facts).as_deref(), advised, "{name}");
        }
    }
}

#[test]
fn a_stream_on_demand_is_not_to_be_split() {
    let samples = [spread(0, 9000, 10), spread(1, 9000, 10)];
    let facts = Facts { is_on_demand: true, ..facts(2, &samples) };
    let findings = all(&facts);
    assert_eq!(kinds(&facts), [("full", "warning"), ("full", "warning")]);
    assert!(findings.iter().all(|finding| finding.command.is_none() && finding.advice.contains("on demand")));
}

#[test]
fn single_seconds_near_the_limits_are_bursts() {
    let mut bursting = spread(0, 1000, 10);
    bursting.busiest = Rate { records: 900.0, bytes: 10_000.0 };
    let facts = facts(2, &[bursting, spread(1, 1000, 10)]);
    assert_eq!(kinds(&facts), [("bursts", "notice")]);
    let evidence =
        "in one second shard 0 took 900 records/s of 1,000 and 9.8 KiB/s of 1.0 MiB, on average 11 % of that";
    assert_eq!(all(&facts)[0].evidence, evidence);
}

#[test]
fn unequal_ranges_are_reported_unless_they_even_out_the_load() {
    let mut facts = facts(3, &[]);
    facts.shards[0].range = 0..=u128::MAX / 8;
    assert_eq!(kinds(&facts), [("uneven_ranges", "notice")]);
    assert_eq!(all(&facts)[0].command.as_deref(), Some("tidelog stream reshard clicks --split 2"));
    facts.samples = vec![spread(0, 1000, 10), spread(1, 1000, 10), spread(2, 1000, 10)];
    assert_eq!(kinds(&facts), []);
    // One split of one shard makes no finding.
    facts.samples.clear();
    facts.shards[0].range = 0..=u128::MAX / 6;
    assert_eq!(kinds(&facts), []);
}

#[test]
fn hot_keys_are_those_far_above_the_others() {
    let with = |hot: (&'static str, u64, u64)| {
        let (mut all, one) = (spread(0, 1000, 10), sample(0, &[hot]));
        for amount in [&mut all.amount, &mut all.keyed] {
            amount.add(one.amount);
        }
        all.rate.records += one.rate.records;
        all.rate.bytes += one.rate.bytes;
        all.keys.extend(one.keys);
        all.distinct_keys += 1;
        all
    };
    let cases: [(Sample, &[(&str, &str)]); 6] = [
        (with(("ada", 100, 10)), &[]),
        (with(("ada", 500, 10)), &[("hot_key", "notice")]),
        (with(("ada", 5000, 10)), &[("hot_key", "warning")]),
        (with(("ada", 9600, 10)), &[("full", "critical"), ("hot_key", "critical")]),
        // By bytes alone.
        (with(("ada", 30, 100_000)), &[("hot_key", "warning")]),
        // Three keys have a third each, which is no key's fault.
        (sample(0, &[("ada", 100, 10), ("alan", 100, 10), ("grace", 100, 10)]), &[]),
    ];
    for (sample, expected) in cases {
        let facts = facts(1, std::slice::from_ref(&sample));
        assert_eq!(kinds(&facts), expected, "{:?}", sample.keys.last());
    }
    let facts = facts(1, &[with(("a\u{1b}", 9600, 10))]);
    let findings = all(&facts);
    assert_eq!(findings[1].what, "The key a\\u{1b} is hot");
    assert!(findings[0].command.is_none() && findings[0].advice.starts_with("A split does not help"));
}

#[test]
fn groups_are_judged_by_lag_retention_and_owners() {
    const HOUR: u64 = 3_600_000;
    let cases: [(Group, &[(&str, &str)]); 8] = [
        (group("g", 1, &[("1", 0), ("1", 59_000)]), &[]),
        (group("g", 1, &[("1", 0), ("1", 61_000)]), &[("lag", "warning")]),
        (group("g", 1, &[("1", 12 * HOUR), ("1", 0)]), &[("retention", "warning")]),
        (group("g", 1, &[("1", 20 * HOUR), ("1", 0)]), &[("retention", "critical")]),
        (group("g", 1, &[("1", 0), ("", 0)]), &[("unowned", "warning")]),
        (group("g", 0, &[("", 0), ("", 0)]), &[("no_members", "notice")]),
        (group("g", 0, &[("", 5), ("", 0)]), &[("no_members", "warning")]),
        (group("g", 0, &[("", 24 * HOUR)]), &[("retention", "critical"), ("no_members", "warning")]),
    ];
    for (group, expected) in cases {
        let facts = Facts { groups: vec![group], ..facts(2, &[]) };
        assert_eq!(kinds(&facts), expected, "{:?}", facts.groups);
    }
}

#[test]
fn loads_are_judged_by_the_limits_in_force() {
    let samples = [spread(0, 9000, 10), spread(1, 9000, 10)];
    let of_aws = facts(2, &samples);
    assert_eq!(kinds(&of_aws), [("full", "warning")]);
    assert_eq!(all(&of_aws)[0].evidence, "shard 1 takes 900 records/s of 1,000 and 12.3 KiB/s of 1.0 MiB");
    let limits = Limits { records: 900.0, bytes: f64::INFINITY };
    let lower = Facts { limits, ..of_aws.clone() };
    assert_eq!(kinds(&lower), [("full", "critical")]);
    assert_eq!(all(&lower)[0].evidence, "shard 1 takes 900 records/s of 900 and 12.3 KiB/s");
    let none = Limits { records: f64::INFINITY, bytes: f64::INFINITY };
    assert_eq!(kinds(&Facts { limits: none, ..of_aws }), []);
}

#[test]
fn a_group_about_to_lose_records_gets_advice_to_keep_them() {
    let facts = Facts { groups: vec![group("billing", 1, &[("1", 20 * 3_600_000)])], ..facts(1, &[]) };
    let finding = &all(&facts)[0];
    assert_eq!(finding.what, "billing reads records shortly before they expire");
    assert_eq!(finding.evidence, "20 h behind in shard 0, 83 % of the 24 h that records are kept; 4 h left");
    assert_eq!(finding.command.as_deref(), Some("tidelog stream retention clicks 48h"));
    let facts = Facts { retention_hours: 8760, ..facts };
    assert_eq!(kinds(&facts), [("lag", "warning")]);
}

#[test]
fn shards_that_are_finished_or_wait_need_no_owner() {
    let mut one = group("g", 1, &[("", 0), ("", 0), ("1", 0)]);
    one.described.shards[0].is_finished = true;
    one.described.shards[1].is_waiting = true;
    let facts = Facts { groups: vec![one], ..facts(2, &[]) };
    assert_eq!(kinds(&facts), []);
}

#[test]
fn refusals_count_when_they_go_on_and_by_shard_where_that_is_known() {
    let reading = |records, shard: Option<u64>| Reading {
        stream: Refused { records, calls: 0 },
        limits: Limits::default(),
        shards: shard
            .map(|records| (id(1), Refused { records, calls: 0 }))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let cases = [
        (reading(0, None), reading(0, None), None),
        (
            reading(7, None),
            reading(7, None),
            Some(("notice", "7 records refused since counting began, none within")),
        ),
        (
            reading(7, None),
            reading(9, None),
            Some(("critical", "2 records refused within 1 s, 9 records since")),
        ),
        // Refusals of other streams.
        (reading(7, Some(0)), reading(9, Some(0)), None),
        (
            reading(7, Some(1)),
            reading(9, Some(2)),
            Some(("critical", "1 record refused within 1 s, 2 records since")),
        ),
    ];
    for (before, after, expected) in cases {
        let throttles = Throttles::between(&before, after, Duration::from_secs(1));
        let facts = Facts { throttles: Some(throttles), ..facts(2, &[]) };
        let findings = all(&facts);
        let found = findings.first().map(|finding| (finding.severity.word(), finding.evidence.as_str()));
        match (found, expected) {
            (Some((severity, evidence)), Some((wanted, begin))) => {
                assert_eq!(severity, wanted);
                assert!(evidence.starts_with(begin), "{evidence}");
            }
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

#[test]
fn the_worst_comes_first() {
    let samples = [spread(0, 9900, 10), spread(1, 100, 10), spread(2, 100, 10)];
    let groups = vec![group("idle", 0, &[("", 0)]), group("late", 1, &[("1", 70_000)])];
    let facts = Facts { groups, ..facts(3, &samples) };
    assert_eq!(kinds(&facts), [("full", "critical"), ("lag", "warning"), ("no_members", "notice")]);
}

#[test]
fn many_shards_are_named_by_the_first_ones() {
    let ids: Vec<String> = (0..7).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (count, expected) in [
        (1, "Shard 0"),
        (2, "Shards 0 and 1"),
        (5, "Shards 0, 1, 2, 3 and 4"),
        (7, "Shards 0, 1, 2, 3, 4 and 2 more"),
    ] {
        assert_eq!(shards_first(&ids[..count]), expected);
    }
}
