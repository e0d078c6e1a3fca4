//! One exchange in a plugin as the kernel asks it. What a call takes is in the module above.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::keeping::Replay;
use super::super::lane::{Done, Job, Reply};
use super::{ATTEMPTS, Instance, Thread, Watched};
use crate::message::Message;
use crate::names::Slot;
use crate::vhost::exchange_type::{
    BindRefusal, BindingTable, BindingView, Call, Destinations, ExchangeInstance, Fault, Inputs,
    Moment, Routing,
};

impl ExchangeInstance for Instance {
    // Waits for the calls in front of it, each bounded by its deadline, and rebuilds here if it
    // must: a bind has no lane to go to, and it is rare.
    fn bind(
        &self,
        binding: BindingView<'_>,
        table: &dyn BindingTable,
    ) -> Result<Replay, BindRefusal> {
        let mut seat = self.seat.lock();
        if let Some(Fault(text)) = self.refused_by_breaker(&mut seat) {
            return Err(BindRefusal::Failed(text));
        }
        let mut attempts = ATTEMPTS;
        loop {
            let fault = match self.bind_once(&mut seat, binding, table) {
                Ok(answer) => {
                    self.succeeded(&mut seat);
                    return answer.map_err(BindRefusal::Refused);
                }
                Err(fault) => fault,
            };
            attempts -= 1;
            if self.strike(&mut seat, &fault) || attempts == 0 {
                return Err(BindRefusal::Failed(self.plugin.fault_text(&fault)));
            }
        }
    }

    fn bind_all(&self, table: &dyn BindingTable) -> Result<(), BindRefusal> {
        let mut seat = self.seat.lock();
        // Room may have been made for others since it was opened.
        if seat.live.is_none() {
            return match self.rebuild(&mut seat, table, Watched::All) {
                Ok((_, Ok(_))) => Ok(()),
                Ok((_, Err(text))) => Err(BindRefusal::Refused(text)),
                Err(fault) => Err(BindRefusal::Failed(self.plugin.fault_text(&fault))),
            };
        }
        match self.bind_each(&mut seat, table) {
            Ok(answer) => answer.map_err(BindRefusal::Refused),
            Err(fault) => {
                self.plugin.tallies().faulted(fault.kind);
                Err(BindRefusal::Failed(self.plugin.fault_text(&fault)))
            }
        }
    }

    fn remembered(&self, hits: u64) {
        self.counts.remembered(hits);
    }

    fn room_for_binding(&self) -> Result<(), String> {
        self.plugin.room_for_binding()
    }

    fn wants_whole_message(&self) -> bool {
        self.plugin.description.whole_message
    }

    fn unbind(&self, slot: Slot, table: &dyn BindingTable) {
        self.opening.kept.count_bindings(table.len());
        let mut seat = self.seat.lock();
        // What is not live is rebuilt without the binding. Its published inputs stay: reads are
        // held against them, so wider than needed is only slower.
        let Some(live) = &mut seat.live else { return };
        match live.unbind(slot).and_then(|()| live.inputs()) {
            Ok(inputs) => self.publish(live, inputs),
            Err(fault) => {
                self.strike(&mut seat, &fault);
            }
        }
    }

    fn inputs(&self) -> Inputs {
        self.inputs.get()
    }

    fn route(&self, call: Call<'_>, table: &dyn BindingTable) -> Routing {
        if self.slow.load(Ordering::Relaxed) {
            return Routing::Later;
        }
        match self.seat_soon() {
            Some(mut seat) => self.decide(&mut seat, call, table, Thread::Worker),
            None => Routing::Later,
        }
    }

    fn may_be_asked_by_key(&self) -> bool {
        Instance::may_be_asked_by_key(self)
    }

    fn route_keys(&self, keys: &[&str], table: &dyn BindingTable) -> Option<Destinations> {
        self.answers(keys, table)
    }

    fn route_later(
        &self,
        moment: Moment,
        message: Arc<Message>,
        table: Arc<dyn BindingTable>,
        done: Done,
    ) {
        let reply = Reply::new(done);
        // Never absent while somebody can call this.
        if let Some(instance) = self.me.upgrade() {
            self.plugin.lane.submit(Job {
                instance,
                moment,
                message,
                table,
                reply,
            });
        }
    }
}
