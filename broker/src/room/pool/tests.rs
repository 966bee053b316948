//! Pools and charges: shares, refusals, and the reserve.

use std::net::IpAddr;

use super::super::Accounts;
use super::*;

const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(2);

fn pool(mib: usize) -> Arc<Pool> {
    Pool::new("bodies", mib * MIB, 20 * MIB)
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_drains_by_the_one_that_finishes() {
    let (pool, accounts) = (pool(32), Arc::new(Accounts::default()));
    let account = || accounts.open(IpAddr::from([127, 0, 0, 1]));
    // 4 MiB for the small, 20 of reserve: 8 for all else.
    let mut charges: Vec<_> = (0..4).map(|_| pool.charge(&account(), false)).collect();
    for charge in &mut charges {
        charge.grow(2 * MIB, PATIENCE).await.unwrap();
    }
    let began = Instant::now();
    let mut last = charges.pop().unwrap();
    last.grow(20 * MIB, PATIENCE).await.unwrap();
    assert!(last.is_finishing() && began.elapsed() < PATIENCE);
    assert_eq!(charges[0].grow(3 * MIB, PATIENCE).await, Err(Full));
    assert_eq!((began.elapsed(), pool.refusals()), (PATIENCE, 1));
    // A small charge is still admitted.
    assert!(pool.try_charge(&account(), SMALL_BYTES).is_ok());
    assert_eq!(pool.try_charge(&account(), SMALL_BYTES + 1).err(), Some(Full));
    drop(last);
    charges[0].grow(4 * MIB, PATIENCE).await.unwrap();
    drop(charges);
    assert_eq!(pool.used(), 0);
    assert_eq!(account().charged_to_address(0), 0);
}

#[tokio::test(start_paused = true)]
async fn shares_bind_only_a_busy_pool() {
    let (pool, accounts) = (pool(340), Arc::new(Accounts::default()));
    let open = |last| accounts.open(IpAddr::from([10, 0, 0, last]));
    // A sixteenth is 21 MiB, a quarter 85, and half of the general part 138.
    let (one, same, other) = (open(1), open(1), open(2));
    let all = pool.try_charge(&one, 120 * MIB).unwrap();
    assert!(!pool.is_busy());
    let filling = pool.try_charge(&other, 30 * MIB).unwrap();
    assert!(pool.is_busy());
    assert!(pool.try_charge(&one, MIB).is_err(), "the connection is over its share");
    assert!(pool.try_charge(&same, MIB).is_err(), "its address is over its share");
    assert!(pool.try_charge(&open(3), MIB).is_ok());
    drop((all, filling));
    assert!(pool.try_charge(&one, 130 * MIB).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_connection_over_its_share_of_a_busy_pool_goes_on_once_it_gives_something_back() {
    let pool = Pool::unreserved(EVENTS, 16 * MIB, 2 * MIB);
    let accounts = Arc::new(Accounts::default());
    let open = || accounts.open(IpAddr::from([10, 0, 0, 1]));
    let (greedy, other) = (open(), open());
    let take = |account: &Arc<Account>| pool.try_charge(account, MIB);
    let mut taken: Vec<_> = std::iter::from_fn(|| take(&greedy).ok()).collect();
    assert_eq!(taken.len(), 9, "as much as keeps half of it free, and one");
    // Others have theirs, of any size.
    let others: Vec<_> = (0..2).map(|_| take(&other)).collect();
    assert!(others.iter().all(Result::is_ok) && take(&other).is_err());
    let large = pool.try_charge(&open(), 5 * MIB).unwrap();
    drop(large);
    let mut further = pool.charge(&greedy, false);
    let began = Instant::now();
    assert_eq!(further.grow(MIB, PATIENCE).await, Err(Full));
    assert_eq!((began.elapsed(), pool.refusals()), (PATIENCE, 1));
    let giving = async {
        tokio::time::sleep(PATIENCE / 4).await;
        taken.truncate(1);
    };
    let (grown, ()) = futures_util::future::join(further.grow(MIB, PATIENCE), giving).await;
    assert_eq!(grown, Ok(()));
    assert!(began.elapsed() < PATIENCE * 3 / 2);
}

#[tokio::test(start_paused = true)]
async fn alone_an_address_has_all() {
    let (pool, accounts) = (pool(340), Arc::new(Accounts::default()));
    let open = || accounts.open(IpAddr::from([10, 0, 0, 1]));
    let charges: Vec<_> = (0..13).map(|_| pool.try_charge(&open(), 20 * MIB)).collect();
    assert!(charges.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_a_trouble_once_they_last() {
    let pool = pool(340);
    for (seconds, is_in_trouble) in [(0, false), (3, false), (3, true), (6, false)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        pool.note_refusal();
        assert_eq!(pool.is_in_trouble(), is_in_trouble, "{seconds}");
    }
}
