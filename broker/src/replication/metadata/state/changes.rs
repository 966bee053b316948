//! Changes of a stream that is there: its settings, consumers, tags and policy, its retention and its end.

use tidelog_proto::stored;

use super::{MetaOutcome, MetaState, note_within_day};
use crate::model::stream::{Consumer, ConsumerStatus, Stream, StreamStatus, Tags};
use crate::replication::metadata::stored::{read_metrics, read_mode};

impl MetaState {
    pub(super) fn begin_delete(&mut self, begin: &stored::BeginDeleteStream) -> MetaOutcome {
        let is_staying = |consumer: &Consumer| consumer.status != ConsumerStatus::Deleting;
        let is_consumed =
            |stream: &Stream| stream.consumers.iter().any(is_staying) || self.groups.has_members(stream.uid);
        // A deletion that is under way was let through before.
        let is_blocking = |stream: &Stream| stream.status != StreamStatus::Deleting && is_consumed(stream);
        if begin.spares_consumed && self.catalog.by_uid(begin.uid).is_some_and(|stream| is_blocking(stream)) {
            return MetaOutcome::Overtaken;
        }
        self.change(begin.uid, |stream| stream.status = StreamStatus::Deleting)
    }

    pub(super) fn set_retention(&mut self, set: &stored::SetRetention) -> MetaOutcome {
        use stored::set_retention::Direction;
        let Some(stream) = self.catalog.by_uid(set.uid) else { return MetaOutcome::NoSuchStream };
        let (hours, existing) = (set.retention_hours, stream.retention_hours);
        match set.direction() {
            Direction::Up if hours < existing => MetaOutcome::Overtaken,
            Direction::Down if hours > existing => MetaOutcome::Overtaken,
            Direction::Up | Direction::Down | Direction::Any => {
                self.change(set.uid, |stream| stream.retention_hours = hours)
            }
        }
    }

    pub(super) fn begin_consumer(
        &mut self,
        begin: &stored::BeginRegisterConsumer,
        now_ms: u64,
    ) -> MetaOutcome {
        let Some(stream) = self.catalog.by_uid(begin.stream_uid) else { return MetaOutcome::NoSuchStream };
        if stream.status == StreamStatus::Deleting {
            return MetaOutcome::NotActive(stream.status);
        }
        if stream.consumer(&begin.name).is_some() {
            return MetaOutcome::NameTaken;
        }
        self.next_uid += 1;
        let uid = self.next_uid;
        let consumer = Consumer {
            uid,
            name: begin.name.as_str().into(),
            status: ConsumerStatus::Creating,
            created_ms: now_ms,
            tags: begin.tags.clone(),
            policy: None,
        };
        self.change(begin.stream_uid, |stream| {
            let place = stream.consumers.partition_point(|other| other.name < consumer.name);
            stream.consumers.insert(place, consumer);
        });
        MetaOutcome::Created(uid)
    }

    pub(super) fn change_consumer(
        &mut self,
        of: &stored::ConsumerRef,
        change: impl FnOnce(&mut Consumer),
    ) -> MetaOutcome {
        let mut found = false;
        let outcome = self.change(of.stream_uid, |stream| {
            if let Some(consumer) = stream.consumers.iter_mut().find(|consumer| consumer.uid == of.uid) {
                found = true;
                change(consumer);
            }
        });
        if found || outcome != MetaOutcome::Done { outcome } else { MetaOutcome::NoSuchConsumer }
    }

    pub(super) fn change_tags(&mut self, command: &stored::ChangeTags) -> MetaOutcome {
        let change = |tags: &mut Tags| {
            tags.retain(|key, _| !command.removed.contains(key));
            tags.extend(command.set.clone());
        };
        let resource = command.resource.expect("tags have a resource");
        match consumer_of(resource) {
            Some(consumer) => self.change_consumer(&consumer, |consumer| change(&mut consumer.tags)),
            None => self.change(resource.stream_uid, |stream| change(&mut stream.tags)),
        }
    }

    pub(super) fn set_policy(&mut self, set: &stored::SetPolicy) -> MetaOutcome {
        let policy = set.policy.as_deref().map(Into::into);
        let resource = set.resource.expect("a policy has a resource");
        match consumer_of(resource) {
            Some(consumer) => self.change_consumer(&consumer, |consumer| consumer.policy = policy),
            None => self.change(resource.stream_uid, |stream| stream.policy = policy),
        }
    }
}

pub(super) fn change_settings(stream: &mut Stream, change: &stored::ChangeStream, now_ms: u64) {
    if let Some(mode) = change.mode.map(|_| read_mode(change.mode()))
        && mode != stream.mode
    {
        stream.mode = mode;
        note_within_day(&mut stream.mode_switches_ms, now_ms);
    }
    stream.max_record_kib = change.max_record_kib.unwrap_or(stream.max_record_kib);
    stream.warm_mib_per_second = change.warm_mib_per_second.unwrap_or(stream.warm_mib_per_second);
    stream.is_auto_distributed = change.is_auto_distributed.unwrap_or(stream.is_auto_distributed);
    if let Some(bits) = change.shard_level_metrics {
        stream.shard_level_metrics = read_metrics(bits);
    }
    let (enabled, disabled) = (read_metrics(change.enabled_metrics), read_metrics(change.disabled_metrics));
    stream.shard_level_metrics = stream.shard_level_metrics.with(enabled).without(disabled);
}

fn consumer_of(resource: stored::ResourceRef) -> Option<stored::ConsumerRef> {
    let stored::ResourceRef { stream_uid, consumer_uid } = resource;
    consumer_uid.map(|uid| stored::ConsumerRef { stream_uid, uid })
}
