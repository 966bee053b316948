//! Scan and Query: ranges of keys, and pages of items.

use std::ops::Bound;

use super::table::{Index, Table};
use crate::expression::{Comparison, Condition, KeyTest};
use crate::fault::Invalid;
use crate::json::{Structure, structure};
use crate::request::{Query, Scan, Search, Segment, Select};
use crate::schema::{Key, KeyAttribute, KeySchema, RANGE_END, hash_prefix, primary_of, put_escaped};
use crate::value::{Item, Value, ValueRef, write_attributes_where};

/// Bytes of items that one page looks at. Each item counts with the bytes of the filter that is held against it, so
/// that a page takes no longer with a long filter than without one.
const PAGE_BYTES: usize = 1024 * 1024;

/// Bytes of a page's JSON after which no further item is taken: it is longer than the items are.
const PAGE_JSON_BYTES: usize = 2 * PAGE_BYTES;

/// A range of keys, or of entries of an index.
#[derive(Clone, Debug)]
struct Range {
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The end of all keys that begin with a prefix.
fn behind(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Bound::Excluded(prefix);
        }
    }
    Bound::Unbounded
}

impl Range {
    fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded }
    }

    fn of_prefix(prefix: Vec<u8>) -> Self {
        Self { from: Bound::Included(prefix.clone()), to: behind(prefix) }
    }

    /// The keys whose hashes fall into a segment: the numbers of 64 bits in equal parts.
    fn of_segment(Segment { segment, segments }: Segment) -> Self {
        let start = |segment: u32| (u128::from(segment) << 64).div_ceil(u128::from(segments));
        let key = |start: u128| u64::try_from(start).ok().map(|start| start.to_be_bytes().to_vec());
        Self {
            from: key(start(segment)).map_or(Bound::Unbounded, Bound::Included),
            to: key(start(segment + 1)).map_or(Bound::Unbounded, Bound::Excluded),
        }
    }

    /// The keys of one hash key whose range keys pass a test.
    fn of_test(hash: ValueRef<'_>, test: Option<&KeyTest>) -> Self {
        let prefix = hash_prefix(hash);
        let escaped = |value: &Value| {
            let mut key = prefix.clone();
            put_escaped(&mut key, value.as_ref().payload());
            key
        };
        let whole = |value: &Value| [escaped(value), RANGE_END.to_vec()].concat();
        let Self { from, to } = Self::of_prefix(prefix.clone());
        match test {
            None => Self { from, to },
            Some(KeyTest::BeginsWith(value)) => Self::of_prefix(escaped(value)),
            Some(KeyTest::Between(lower, upper)) => {
                Self { from: Bound::Included(whole(lower)), to: behind(whole(upper)) }
            }
            Some(KeyTest::Compare(comparison, value)) => match comparison {
                Comparison::Less => Self { from, to: Bound::Excluded(whole(value)) },
                Comparison::LessOrEqual => Self { from, to: behind(whole(value)) },
                Comparison::Greater => Self { from: from_end(behind(whole(value))), to },
                Comparison::GreaterOrEqual => Self { from: Bound::Included(whole(value)), to },
                Comparison::Equal | Comparison::NotEqual => Self::of_prefix(whole(value)),
            },
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        std::ops::RangeBounds::contains(&(as_slice(&self.from), as_slice(&self.to)), key)
    }

    fn is_empty(&self) -> bool {
        let (Bound::Included(from) | Bound::Excluded(from)) = &self.from else { return false };
        let (Bound::Included(to) | Bound::Excluded(to)) = &self.to else { return false };
        from > to
            || (from == to
                && (matches!(self.from, Bound::Excluded(_)) || matches!(self.to, Bound::Excluded(_))))
    }
}

/// The beginning of the keys behind an end.
fn from_end(end: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match end {
        Bound::Excluded(key) => Bound::Included(key),
        other => other,
    }
}

impl Table {
    pub(super) fn scan(&self, scan: &Scan, now_ms: i64) -> Result<Vec<u8>, Invalid> {
        let index = scan.search.index.as_deref().map(|name| self.index(name)).transpose()?;
        let mut range = scan.segment.map_or_else(Range::all, Range::of_segment);
        if let Some(start) = self.start(&scan.search, index)? {
            if !range.has(&start) {
                return Err(Invalid::StartKeyOutsideOfSegment);
            }
            range.from = Bound::Excluded(start);
        }
        self.page(&scan.search, index, &range, true, now_ms)
    }

    pub(super) fn query(&self, query: &Query, now_ms: i64) -> Result<Vec<u8>, Invalid> {
        let index = query.search.index.as_deref().map(|name| self.index(name)).transpose()?;
        let schema = index.map_or(&self.schema, |index| &index.schema);
        let (hash, test) = key_tests(schema, query)?;
        check_filter(schema, query.search.filter.as_ref())?;
        let mut range = Range::of_test(hash, test);
        if let Some(start) = self.start(&query.search, index)? {
            if !range.has(&start) {
                return Err(Invalid::StartKeyOutsideOfQuery);
            }
            if query.forward {
                range.from = Bound::Excluded(start);
            } else {
                range.to = Bound::Excluded(start);
            }
        }
        self.page(&query.search, index, &range, query.forward, now_ms)
    }

    /// The key, or the entry of the index, that ExclusiveStartKey names; its item need not be there any more.
    fn start(&self, search: &Search, index: Option<&Index>) -> Result<Option<Vec<u8>>, Invalid> {
        let Some(start) = &search.start else { return Ok(None) };
        let bad = |_| Invalid::BadStartKey;
        let Some(index) = index else {
            return self.schema.key_of_key(start).map(|key| Some(key.into())).map_err(bad);
        };
        let is_key = |name: &str| self.schema.has(name) || index.schema.has(name);
        if !start.attributes().all(|(name, _)| is_key(name)) {
            return Err(Invalid::BadStartKey);
        }
        let primary = self.schema.key_of_item(start).map_err(bad)?;
        let entry = index.schema.entry(start, &primary).ok_or(Invalid::BadStartKey)?;
        Ok(Some(entry.into()))
    }

    fn page(
        &self,
        search: &Search,
        index: Option<&Index>,
        range: &Range,
        forward: bool,
        now_ms: i64,
    ) -> Result<Vec<u8>, Invalid> {
        let view = View { table: self, index, search };
        view.check()?;
        if range.is_empty() {
            return Ok(view.page(std::iter::empty()));
        }
        let bounds = (as_slice(&range.from), as_slice(&range.to));
        let is_live = |item: &&Item| !self.is_expired(item, now_ms);
        Ok(match index {
            None => {
                let items = self.items.range::<[u8], _>(bounds).map(|(_, item)| item).filter(is_live);
                if forward { view.page(items) } else { view.page(items.rev()) }
            }
            Some(index) => {
                let item = |entry: &Key| {
                    self.items
                        .get(primary_of(entry, &index.schema))
                        .expect("an index has entries of items alone")
                };
                let items = index.entries.range::<[u8], _>(bounds).map(item).filter(is_live);
                if forward { view.page(items) } else { view.page(items.rev()) }
            }
        })
    }
}

/// The value of the hash key, and the test of the range key.
fn key_tests<'q>(
    schema: &KeySchema,
    query: &'q Query,
) -> Result<(ValueRef<'q>, Option<&'q KeyTest>), Invalid> {
    let hash = match query.key.of(&schema.hash.name) {
        Some(KeyTest::Compare(Comparison::Equal, value)) => value.as_ref(),
        Some(_) => return Err(Invalid::QueryNotSupported),
        None => return Err(Invalid::QueryMissesKey { attribute: schema.hash.name.to_string() }),
    };
    let range = schema.range.as_ref().and_then(|range| Some((range, query.key.of(&range.name)?)));
    if query.key.0.len() != 1 + usize::from(range.is_some()) {
        let missed = schema.range.as_ref().filter(|_| query.key.0.len() == 2);
        return Err(missed.map_or(Invalid::QueryNotSupported, |range| Invalid::QueryMissesKey {
            attribute: range.name.to_string(),
        }));
    }
    check_type(&schema.hash, hash)?;
    if let Some((attribute, test)) = range {
        let values: &[&Value] = match test {
            KeyTest::Compare(_, value) | KeyTest::BeginsWith(value) => &[value],
            KeyTest::Between(lower, upper) => &[lower, upper],
        };
        values.iter().try_for_each(|value| check_type(attribute, value.as_ref()))?;
    }
    Ok((hash, range.map(|(_, test)| test)))
}

fn check_type(attribute: &KeyAttribute, value: ValueRef<'_>) -> Result<(), Invalid> {
    if value.kind != attribute.kind {
        return Err(Invalid::QueryType);
    }
    if value.payload().is_empty() {
        return Err(Invalid::EmptyKey { attribute: attribute.name.to_string() });
    }
    Ok(())
}

/// The filter of a query is for other attributes than those of its key.
fn check_filter(schema: &KeySchema, filter: Option<&Condition>) -> Result<(), Invalid> {
    let mut key = None;
    if let Some(filter) = filter {
        filter.for_each_name(&mut |name| {
            if schema.has(name) {
                key.get_or_insert(name);
            }
        });
    }
    key.map_or(Ok(()), |name| Err(Invalid::FilterOnKey { attribute: name.to_owned() }))
}

/// Items as a search shows them: filtered, and with the attributes that index and projection leave.
struct View<'t> {
    table: &'t Table,
    index: Option<&'t Index>,
    search: &'t Search,
}

impl<'t> View<'t> {
    fn check(&self) -> Result<(), Invalid> {
        let Some(index) = self.index else { return Ok(()) };
        let is_missing = |name: &str| !index.has(name, &self.table.schema);
        let name = || index.spec.name.to_string();
        if let Some(projection) = &self.search.projection {
            let missing: Vec<&str> =
                projection.0.iter().map(|name| &**name).filter(|name| is_missing(name)).collect();
            if !missing.is_empty() {
                return Err(Invalid::NotProjected { index: name(), attributes: missing.join(", ") });
            }
        }
        if self.search.select == Some(Select::All)
            && index.spec.projection != crate::request::IndexProjection::All
        {
            return Err(Invalid::AllAttributesOfIndex { index: name() });
        }
        Ok(())
    }

    fn is_in_index(&self, name: &str) -> bool {
        self.index.is_none_or(|index| index.has(name, &self.table.schema))
    }

    fn is_shown(&self, name: &str) -> bool {
        self.is_in_index(name)
            && self.search.projection.as_ref().is_none_or(|projection| projection.has(name))
    }

    fn is_found(&self, item: &Item) -> bool {
        let get = |name: &str| item.get(name).filter(|_| self.is_in_index(name));
        // The condition and the item live as long as the search and the table.
        self.search.filter.as_ref().is_none_or(|filter| filter.holds(&get))
    }

    fn page(&self, items: impl Iterator<Item = &'t Item>) -> Vec<u8> {
        let limit = self.search.limit.map_or(usize::MAX, |limit| limit as usize);
        let is_count = self.search.select == Some(Select::Count);
        let (mut scanned, mut count, mut bytes) = (0_usize, 0_usize, 0_usize);
        let mut last = None;
        let filter_bytes = self.search.filter.as_ref().map_or(0, Condition::encoded_len);
        let mut found = vec![b'['];
        let mut end = None;
        for item in items {
            bytes += item.bytes().len() + filter_bytes;
            let is_full = (bytes > PAGE_BYTES && scanned > 0) || found.len() > PAGE_JSON_BYTES;
            if scanned == limit || is_full {
                end = last;
                break;
            }
            scanned += 1;
            last = Some(item);
            if !self.is_found(item) {
                continue;
            }
            if !is_count {
                if count > 0 {
                    found.push(b',');
                }
                write_attributes_where(&mut found, item.attributes(), |name| self.is_shown(name));
            }
            count += 1;
        }
        found.push(b']');
        structure(|out| {
            if !is_count {
                out.member("Items").append(&mut found);
            }
            out.number("Count", count).number("ScannedCount", scanned);
            if let Some(item) = end {
                self.write_last_key(out, item);
            }
        })
    }

    fn write_last_key(&self, out: &mut Structure<'_>, item: &Item) {
        let is_key = |name: &str| {
            self.table.schema.has(name) || self.index.is_some_and(|index| index.schema.has(name))
        };
        write_attributes_where(out.member("LastEvaluatedKey"), item.attributes(), is_key);
    }
}
