//! Who is connected to the management listeners, and who has to go when there is no place left: whoever
//! has kept one longest without saying a whole request. Not sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Connections at once: tools and browsers, not clients.
const MAX: usize = 256;

/// Of one address, so that no machine keeps the others out.
const MAX_OF_ADDRESS: usize = 128;

#[derive(Default)]
pub(super) struct Places {
    taken: Mutex<HashMap<u64, Taken>>,
    last: AtomicU64,
}

struct Taken {
    address: IpAddr,
    /// Grows: when it was last heard with a whole request.
    heard: u64,
    state: State,
    leave: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request is awaited, or only a part of it is there.
    Listening,
    /// A request is being worked off or answered.
    Answering,
}

/// A connection's place; it is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Places {
    /// A place for a connection from this address; `None` when everybody is being answered.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock();
        let of_address = |one: &Taken| one.address == address;
        if taken.values().filter(|one| of_address(one)).count() >= MAX_OF_ADDRESS {
            dismiss_one(&mut taken, of_address)?;
        }
        if taken.len() >= MAX {
            dismiss_one(&mut taken, |_| true)?;
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let leave = Arc::new(Notify::new());
        let fresh = Taken {
            address,
            heard: number,
            state: State::Listening,
            leave: Arc::clone(&leave),
        };
        taken.insert(number, fresh);
        Some(Place {
            places: Arc::clone(self),
            number,
            leave,
        })
    }
}

/// Its place is free at once; the connection itself goes a moment later.
fn dismiss_one(taken: &mut HashMap<u64, Taken>, wanted: impl Fn(&Taken) -> bool) -> Option<()> {
    let listening = taken
        .iter()
        .filter(|(_, one)| one.state == State::Listening && wanted(one));
    let (number, _) = listening.min_by_key(|(_, one)| one.heard)?;
    let number = *number;
    let dismissed = taken.remove(&number)?;
    dismissed.leave.notify_one();
    Some(())
}

impl Place {
    fn set(&self, state: State) {
        let now = self.places.last.fetch_add(1, Ordering::Relaxed);
        if let Some(taken) = self.places.taken.lock().get_mut(&self.number) {
            taken.state = state;
            taken.heard = now;
        }
    }

    /// A request is whole.
    pub fn answering(&self) {
        self.set(State::Answering);
    }

    /// It is answered.
    pub fn listening(&self) {
        self.set(State::Listening);
    }

    /// Somebody else needs the place.
    pub async fn dismissed(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn numbers(places: &Places) -> Vec<u64> {
        let mut numbers: Vec<u64> = places.taken.lock().keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn the_oldest_that_has_not_asked_gives_way_to_the_new() {
        let places = Arc::new(Places::default());
        let mut all: Vec<Place> = (0..MAX_OF_ADDRESS)
            .map(|_| places.take(address(1)).expect("a place"))
            .collect();
        all[0].answering();
        let other = places.take(address(2)).expect("a place");
        all.push(places.take(address(1)).expect("a place"));
        let left = numbers(&places);
        assert_eq!(left.len(), MAX_OF_ADDRESS + 1);
        assert!(left.contains(&0) && !left.contains(&1) && left.contains(&other.number));
    }

    #[test]
    fn who_is_being_answered_stays_and_the_new_one_is_refused() {
        let places = Arc::new(Places::default());
        let all: Vec<Place> = (0..MAX_OF_ADDRESS)
            .map(|_| places.take(address(1)).expect("a place"))
            .collect();
        all.iter().for_each(Place::answering);
        assert!(places.take(address(1)).is_none());
        all[5].listening();
        assert!(places.take(address(1)).is_some());
        drop(all);
        assert!(numbers(&places).is_empty());
    }
}
