//! Runs a tracer natively, as the broker would: for tests. Not a test of the component itself, nor
//! of the broker's limits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::tracer::{Desk, DeskFunctions, Event, Outgoing, Trace, Tracer, TracerOpening};
use crate::{Host, HostFunctions, Level};

/// One opened tracer, and what it has asked for.
pub struct TracerBench<T> {
    tracer: T,
    desk: Rc<Kept>,
}

#[derive(Default)]
struct Kept {
    now: Cell<u64>,
    log: RefCell<Vec<(Level, String)>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    wants: RefCell<Vec<Want>>,
}

/// What a tracer wants to have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Declare {
        vhost: String,
        name: String,
        exchange_type: String,
    },
    Publish(Outgoing),
    Append {
        file: String,
        octets: Vec<u8>,
    },
    Post {
        url: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

impl HostFunctions for Kept {
    fn log(&self, level: Level, line: &str) {
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn now(&self) -> u64 {
        self.now.get()
    }
}

impl DeskFunctions for Kept {
    fn body(&self, event: u32, offset: u64, length: u32) -> Vec<u8> {
        let bodies = self.bodies.borrow();
        let body = bodies.get(event as usize);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = body.and_then(|body| body.get(from..)).unwrap_or_default();
        rest.iter().take(length as usize).copied().collect()
    }

    fn declare(&self, vhost: &str, name: &str, exchange_type: &str) {
        self.wants.borrow_mut().push(Want::Declare {
            vhost: vhost.to_owned(),
            name: name.to_owned(),
            exchange_type: exchange_type.to_owned(),
        });
    }

    fn publish(&self, outgoing: Outgoing) {
        self.wants.borrow_mut().push(Want::Publish(outgoing));
    }

    fn append(&self, file: &str, octets: &[u8]) {
        self.wants.borrow_mut().push(Want::Append {
            file: file.to_owned(),
            octets: octets.to_vec(),
        });
    }

    fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.wants.borrow_mut().push(Want::Post {
            url: url.to_owned(),
            headers: headers.collect(),
            body: body.to_vec(),
        });
    }
}

impl<T: Tracer> TracerBench<T> {
    /// With this configuration, as JSON. The broker's name is `bench`.
    pub fn open(configuration: &str) -> Result<Self, String> {
        let desk = Rc::new(Kept::default());
        let tracer = T::open(&TracerOpening {
            configuration,
            node: "bench",
            host: &Host::new(desk.clone()),
            desk: &Desk::new(desk.clone()),
        })?;
        Ok(TracerBench { tracer, desk })
    }

    pub fn set_now(&mut self, milliseconds: u64) {
        self.desk.now.set(milliseconds);
    }

    pub fn traces(&mut self, traces: Vec<Trace>) {
        self.tracer.traces(traces);
    }

    /// Events, each with the body of its message.
    pub fn observe(&mut self, events: Vec<(Event, &[u8])>) {
        let (events, bodies): (Vec<Event>, Vec<&[u8]>) = events.into_iter().unzip();
        self.desk
            .bodies
            .replace(bodies.into_iter().map(<[u8]>::to_vec).collect());
        self.tracer.observe(&events);
    }

    /// What it has asked for since this was asked last.
    pub fn wants(&mut self) -> Vec<Want> {
        self.desk.wants.take()
    }

    pub fn log(&self) -> Vec<(Level, String)> {
        self.desk.log.borrow().clone()
    }
}
