//! The lives of a node: one for each of its starts, and which of them may follow which.
//!
//! The cluster keeps the newest life of every node in its metadata. A node that starts proposes its new life together
//! with those it has begun since the last one that the cluster took, and only one that follows the kept life is taken.
//! So an older copy of a data directory, and a second process on a copy, are refused: they do not know the life that
//! followed. Numbers alone would not do, because a copy that is started often enough would overtake the original.

use std::fmt;
use std::str::FromStr;

/// Starts in a row that the cluster may not hear of; further ones go on with the last life of them.
pub const BEGUN_MAX: usize = 8;

/// One life: one start of a node, for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// From 1.
    pub number: u64,
    /// Random: two processes that begin the life of one number are told apart by it.
    pub nonce: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:016x}", self.number, self.nonce)
    }
}

impl FromStr for Life {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, nonce) = text.split_once('.').ok_or(())?;
        let number = number.parse().map_err(drop)?;
        Ok(Self { number, nonce: u64::from_str_radix(nonce, 16).map_err(drop)? })
    }
}

/// The lives that a directory knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// The newest one that the cluster took, as far as the directory knows.
    pub taken: Option<Life>,
    /// Lives begun since, oldest first; the cluster may have taken any one of them.
    pub begun: Vec<Life>,
}

impl Lives {
    /// The life that runs.
    pub fn present(&self) -> Option<Life> {
        self.begun.last().copied().or(self.taken)
    }

    /// Whether the directory may be one that follows `kept`, the newest life that the caller knows. A caller that
    /// lags knows an older one.
    pub fn may_follow(&self, kept: Option<Life>) -> bool {
        let Some(kept) = kept else { return true };
        let is_known = self.taken == Some(kept) || self.begun.contains(&kept);
        is_known || self.taken.is_some_and(|taken| kept.number < taken.number)
    }

    /// Whether the cluster, whose newest life of the node is `kept`, takes the present life.
    pub fn follow(&self, kept: Option<Life>) -> bool {
        kept.is_none_or(|kept| self.taken == Some(kept) || self.begun.contains(&kept))
    }

    /// Begins a life.
    pub fn begin(&mut self, nonce: u64) {
        if self.begun.len() < BEGUN_MAX {
            let number = self.present().map_or(0, |life| life.number) + 1;
            self.begun.push(Life { number, nonce });
        }
    }
}

/// The form of a header: the life that was taken, or `-`, and the lives begun since.
impl fmt::Display for Lives {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.taken {
            Some(taken) => write!(out, "{taken}")?,
            None => out.write_str("-")?,
        }
        self.begun.iter().try_for_each(|life| write!(out, ",{life}"))
    }
}

impl FromStr for Lives {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(',');
        let taken = match parts.next().unwrap_or_default() {
            "-" => None,
            taken => Some(taken.parse()?),
        };
        let begun = parts.take(BEGUN_MAX).map(str::parse).collect::<Result<_, ()>>()?;
        Ok(Self { taken, begun })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node's next start, with a nonce of its own.
    fn start(directory: &mut Lives, nonce: &mut u64) -> Lives {
        *nonce += 1;
        directory.begin(*nonce);
        directory.clone()
    }

    /// The cluster takes the present life if it follows, and the node hears of it.
    fn meet(directory: &mut Lives, kept: &mut Option<Life>) -> bool {
        let is_taken = directory.follow(*kept);
        if is_taken {
            *kept = directory.present();
            *directory = Lives { taken: *kept, begun: Vec::new() };
        }
        is_taken
    }

    #[test]
    fn every_start_of_the_directory_itself_is_taken() {
        let (mut directory, mut nonce, mut kept) = (Lives::default(), 0, None);
        for step in 0..40 {
            let lives = start(&mut directory, &mut nonce);
            assert_eq!(lives.to_string().parse(), Ok(lives.clone()));
            assert!(lives.may_follow(kept), "step {step}");
            match step % 4 {
                // The cluster does not hear of it.
                0 => {}
                // It does, and the node does not hear the answer.
                1 => {
                    assert!(lives.follow(kept), "step {step}");
                    kept = lives.present();
                }
                _ => assert!(meet(&mut directory, &mut kept), "step {step}"),
            }
        }
        // More starts in a row than there is room for go on with one life.
        for _ in 0..3 * BEGUN_MAX {
            let lives = start(&mut directory, &mut nonce);
            assert!(lives.begun.len() <= BEGUN_MAX && lives.follow(kept), "{lives}");
        }
        assert!(meet(&mut directory, &mut kept));
    }

    #[test]
    fn an_older_copy_is_refused_however_often_it_starts_and_a_peer_that_lags_refuses_nobody() {
        let (mut directory, mut nonce, mut kept) = (Lives::default(), 0, None);
        let mut behind = Vec::new();
        for _ in 0..3 {
            behind.push(kept);
            start(&mut directory, &mut nonce);
            assert!(meet(&mut directory, &mut kept));
        }
        let mut copy = directory.clone();
        let lives = start(&mut directory, &mut nonce);
        for kept in behind {
            assert!(lives.may_follow(kept), "a peer that knows {kept:?}");
        }
        assert!(meet(&mut directory, &mut kept));
        for _ in 0..3 * BEGUN_MAX {
            let lives = start(&mut copy, &mut nonce);
            assert!(!lives.follow(kept) && !lives.may_follow(kept), "{lives} after {kept:?}");
        }
        // A directory that has lost its lives is no better.
        let mut lost = Lives::default();
        assert!(!start(&mut lost, &mut nonce).may_follow(kept));
        // The original notices a life that followed its own elsewhere.
        let elsewhere = kept.map(|life| Life { number: life.number + 1, nonce: 99 });
        assert!(!directory.may_follow(elsewhere));
    }
}
