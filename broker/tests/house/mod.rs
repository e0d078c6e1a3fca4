//! A broker in this process, over a folder of its own, in which every exchange routes to all its
//! bindings. Nobody is connected to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use warren::auth::{PasswordHash, PermissionRow, Remembered, Row, UserLimits, UserRow, Users};
use warren::clock::{SystemClock, SystemEntropy, Uptime};
use warren::names::{QueueId, Seq};
use warren::store::{Held, Store, StoreEvents, StoreOptions, Stored};
use warren::vhost::exchange_type::{
    Answer, BindRefusal, BindingTable, BindingView, Call, Decision, ExchangeInstance,
    ExchangeTypes, Fault, Inputs, Moment, OpenRefusal, Opened, Opening, Routing, Unavailable,
};
use warren::vhost::{Broker, Parts, Seed};

/// Every type there is routes to all bindings.
struct Everything;

impl ExchangeTypes for Everything {
    fn open(&self, _: &Opening<'_>) -> Result<Opened, OpenRefusal> {
        Ok(Opened {
            instance: Arc::new(Everything),
            inner_type: None,
        })
    }

    fn room_for_exchange(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn unavailable(&self, _: &str) -> Unavailable {
        Unavailable::Fail
    }
}

impl ExchangeInstance for Everything {
    fn bind_all(&self, _: &dyn BindingTable) -> Result<(), BindRefusal> {
        Ok(())
    }

    fn remembered(&self, _: u64) {}

    fn bind(
        &self,
        _: BindingView<'_>,
        _: &dyn BindingTable,
    ) -> Result<Vec<Arc<warren::message::Message>>, BindRefusal> {
        Ok(Vec::new())
    }

    fn room_for_binding(&self) -> Result<(), String> {
        Ok(())
    }

    fn wants_whole_message(&self) -> bool {
        false
    }

    fn unbind(&self, _: u32, _: &dyn BindingTable) {}

    fn inputs(&self) -> Inputs {
        Inputs::Nothing
    }

    fn route(&self, _: Call<'_>, table: &dyn BindingTable) -> Routing {
        let mut slots = Vec::new();
        table.for_each(&mut |binding| slots.push(binding.slot));
        Routing::Now(Answer {
            decision: Decision::To(slots.into_iter().collect()),
            set_headers: Vec::new(),
            pure: true,
            final_word: false,
        })
    }

    fn route_later(
        &self,
        _: Moment,
        _: Arc<warren::message::Message>,
        _: Arc<dyn BindingTable>,
        done: Box<dyn FnOnce(Result<Answer, Fault>) + Send>,
    ) {
        done(Err(Fault("never slow".to_owned())));
    }
}

struct Silent;

impl StoreEvents for Silent {
    fn written(&self, _: QueueId, _: Seq) {}
    fn loaded(&self, _: QueueId, _: Vec<Stored>) {}
    fn fetched(&self, _: QueueId, _: Vec<Stored>) {}
    fn due(&self, _: Vec<Held>) {}
    fn drained(&self) {}
    fn failed(&self, what: &str) {
        panic!("the disk failed: {what}");
    }
}

pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("warren-door-{}-{number}", std::process::id());
        Folder(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct House {
    pub broker: Arc<Broker>,
    pub users: Arc<Users>,
    store: Store,
}

pub fn user(name: &str, password: &str) -> UserRow {
    UserRow {
        name: name.to_owned(),
        password_hash: Some(PasswordHash::new(password.as_bytes(), [1, 2, 3, 4]).encode()),
        tags: Vec::new(),
        limits: UserLimits::default(),
    }
}

pub fn may(user: &str, vhost: &str, write: &str) -> PermissionRow {
    PermissionRow {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        configure: ".*".to_owned(),
        write: write.to_owned(),
        read: ".*".to_owned(),
    }
}

/// With a vhost `/` and a user `ann` who may do everything there.
pub fn open(folder: &Folder) -> House {
    open_with(folder, "first")
}

pub fn open_with(folder: &Folder, password: &str) -> House {
    let clock = Arc::new(SystemClock);
    let options = StoreOptions::new(&folder.0);
    let (store, mut recovered) = Store::open(options, clock.clone()).expect("a store");
    let remembered = Remembered::take(&mut recovered.definitions).expect("rows");
    let parts = Parts {
        schedule: Arc::default(),
        unwritten: Arc::default(),
        uptime: Arc::new(Uptime::default()),
        store: store.clone(),
        pressure: Arc::default(),
        types: Arc::new(Everything),
        clock,
        entropy: Arc::new(SystemEntropy),
    };
    let broker = Broker::recover(parts, recovered, &Seed::vhost("/")).expect("a broker");
    let seed = vec![
        Row::User(user("ann", password)),
        Row::Permission(may("ann", "/", ".*")),
    ];
    let users = Users::recover(Arc::clone(&broker), remembered, seed, &[]).expect("users");
    store.start(Arc::new(Silent)).expect("the store starts");
    House {
        broker,
        users: Arc::new(users),
        store,
    }
}

impl House {
    pub fn close(self) {
        self.store.close().expect("a clean end");
    }
}
