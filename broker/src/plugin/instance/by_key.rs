//! One exchange in a plugin asked about many routing keys in one call. It may always say nothing: each
//! message is asked about by itself then (see the module above).

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Instance, Live, Seat};
use crate::plugin::bindings::keyed::exports::warren::plugin::by_key;
use crate::plugin::fault::CallFault;
use crate::vhost::exchange_type::{BindingTable, Destinations, Inputs};

impl Instance {
    pub(super) fn may_be_asked_by_key(&self) -> bool {
        !self.one_by_one.load(Ordering::Relaxed) && !self.slow.load(Ordering::Relaxed)
    }

    /// For as many of the keys, from the first on, as take a short time.
    pub(super) fn answers(&self, keys: &[&str], table: &dyn BindingTable) -> Option<Destinations> {
        let mut seat = self.seat_soon()?;
        if !seat.breaker.is_closed() || self.inputs.get() != Inputs::RoutingKey {
            return None;
        }
        let Seat {
            live: Some(live),
            pace,
            ..
        } = &mut *seat
        else {
            return None;
        };
        let limits = &self.plugin.loaded.limits;
        let at_once = pace.calls_at_once(limits.route_timeout);
        let keys = keys.get(..at_once).unwrap_or(keys);
        let result_bytes = limits.result_bytes_for(table.len());
        let begun = Instant::now();
        let answered = live.decide_by_key(keys, result_bytes);
        let took = begun.elapsed();
        match answered {
            Ok(Some(destinations)) => {
                let each = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                pace.called(took.checked_div(each).unwrap_or(took));
                self.counts.called_by_key(took, keys.len());
                self.counts.uses(live.memory());
                self.used();
                Some(destinations)
            }
            Ok(None) => {
                self.one_by_one.store(true, Ordering::Relaxed);
                None
            }
            Err(fault) => {
                self.failed_by_key(&mut seat, &fault);
                None
            }
        }
    }

    /// No strike: the messages are asked about one by one next, and each counts for itself.
    fn failed_by_key(&self, seat: &mut Seat, fault: &CallFault) {
        self.one_by_one.store(true, Ordering::Relaxed);
        self.unseat(seat);
        self.plugin.tallies().faulted(fault.kind);
        tracing::warn!(
            plugin = self.plugin.name,
            vhost = self.opening.vhost,
            exchange = &*self.opening.exchange,
            %fault,
            "plugin fault: this exchange is asked about each message by itself from now on"
        );
    }
}

impl Live {
    /// None where it answers one message at a time only, or an answer depends on more than its key.
    fn decide_by_key(
        &mut self,
        keys: &[&str],
        result_bytes: usize,
    ) -> Result<Option<Destinations>, CallFault> {
        let failed = |error: wasmtime::Error| CallFault::of(&error, "route-keys");
        self.allow_results(result_bytes.saturating_mul(keys.len()));
        let answered = self.route_keys(keys);
        self.allow_results(result_bytes);
        let Some(destinations) = answered.map_err(failed)? else {
            return Ok(None);
        };
        if !self.was_pure() {
            return Ok(None);
        }
        let by_key::Destinations { slots, ends, alone } = destinations;
        Destinations::of(keys.len(), (slots, ends, alone))
            .map(Some)
            .map_err(CallFault::bad_answer)
    }
}
