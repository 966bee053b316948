//! A client's connection in the room: its account, and the charges for it and for its streams of HTTP/2.
//!
//! The charge of the connection covers its first stream with one small request and its answer, so that these write
//! nothing that cores share. Further streams are charged by fours, and leave a quarter of the class to connections.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Interface;
use crate::room::{Account, Busy, CONNECTION_BYTES, Charge, Full, Room};

/// Streams that are charged at a time.
const STREAMS_STEP: usize = 4;

/// A client's connection and everything that is charged for it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) room: Arc<Room>,
    pub(super) account: Arc<Account>,
    /// The address that it comes from.
    pub(super) address: IpAddr,
    /// The interface of the listener that it came through.
    pub(super) interface: Interface,
    /// The charge for the connection and its first stream.
    _connection: Charge,
    /// Requests under way.
    streams: AtomicUsize,
    /// How many of them are charged.
    streams_charged: AtomicUsize,
    /// The charge for the requests beyond the first.
    further: Mutex<Charge>,
    /// Whether an answer was given before its request had come completely.
    lingers: AtomicBool,
}

/// A request of a connection, from its head until its answer is taken or dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Arc<Client>,
    _busy: Busy,
}

impl Client {
    /// A connection from that address.
    ///
    /// # Errors
    /// [`Full`] when there is no room for another one.
    pub(super) fn open(room: &Arc<Room>, from: IpAddr, interface: Interface) -> Result<Arc<Self>, Full> {
        let account = room.accounts.open(from);
        let connection = room.connections.try_charge_beyond_shares(&account, CONNECTION_BYTES)?;
        Ok(Self::new(room, account, connection, (from, interface)))
    }

    /// A connection past the bound, which takes no room; how many there are is bounded.
    pub(super) fn past_the_bound(room: &Arc<Room>, from: IpAddr, interface: Interface) -> Arc<Self> {
        let account = room.accounts.open(from);
        let connection = room.connections.charge(&account, false);
        Self::new(room, account, connection, (from, interface))
    }

    fn new(
        room: &Arc<Room>,
        account: Arc<Account>,
        connection: Charge,
        (address, interface): (IpAddr, Interface),
    ) -> Arc<Self> {
        Arc::new(Self {
            _connection: connection,
            further: Mutex::new(room.connections.charge(&account, false)),
            room: room.clone(),
            account,
            address,
            interface,
            streams: AtomicUsize::new(0),
            streams_charged: AtomicUsize::new(1),
            lingers: AtomicBool::new(false),
        })
    }

    /// Begins a request.
    ///
    /// # Errors
    /// [`Full`] when there is no room for another one beside those that are under way.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Exchange, Full> {
        let streams = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let exchange = Exchange { client: self.clone(), _busy: self.account.begin() };
        if streams > self.streams_charged.load(Ordering::Relaxed) && !self.charge(streams) {
            self.room.connections.note_refusal();
            return Err(Full);
        }
        Ok(exchange)
    }

    /// The end of the connection waits for bytes that its client is still sending, so that the client gets to the
    /// answer.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether its end does so.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    fn charge(&self, streams: usize) -> bool {
        let mut further = self.further.lock().expect("no code panics while it holds this lock");
        let stepped = streams.next_multiple_of(STREAMS_STEP);
        let has_room = [stepped, streams]
            .into_iter()
            .any(|streams| further.try_grow_modestly((streams - 1) * CONNECTION_BYTES));
        self.streams_charged.store(1 + further.bytes() / CONNECTION_BYTES, Ordering::Relaxed);
        has_room
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let client = &self.client;
        let streams = client.streams.fetch_sub(1, Ordering::Relaxed) - 1;
        if streams + 2 * STREAMS_STEP < client.streams_charged.load(Ordering::Relaxed) {
            let mut further = client.further.lock().expect("no code panics while it holds this lock");
            further.shrink(streams.next_multiple_of(STREAMS_STEP) * CONNECTION_BYTES);
            client.streams_charged.store(1 + further.bytes() / CONNECTION_BYTES, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{Class, Shares};

    #[test]
    fn streams_beyond_the_first_are_charged_while_they_last() {
        let shares = Shares::default().with(Class::Connections, 40 * CONNECTION_BYTES);
        let room = Room::new(shares);
        let client = Client::open(&room, IpAddr::from([127, 0, 0, 1]), Interface::Loopback).unwrap();
        let used = || room.connections.used() / CONNECTION_BYTES;
        let first = client.begin().unwrap();
        assert_eq!(used(), 1);
        let mut streams: Vec<_> = (0..20).map(|_| client.begin().unwrap()).collect();
        assert_eq!(used(), 24);
        while let Ok(stream) = client.begin() {
            streams.push(stream);
        }
        assert!((20..40).contains(&streams.len()), "{}", streams.len());
        // Another connection still has a place.
        assert!(Client::open(&room, IpAddr::from([127, 0, 0, 1]), Interface::Loopback).is_ok());
        streams.clear();
        assert!(used() <= 1 + 2 * STREAMS_STEP, "{}", used());
        drop((first, streams, client));
        assert_eq!(used(), 0);
    }
}
