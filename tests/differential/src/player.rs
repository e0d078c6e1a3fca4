//! Plays a script against one broker, step by step, and writes down what comes. Waiting until a step
//! has had all its effects is in `settle`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::codec::{FRAME_BODY, Field, Fields, get, octets, put_frame, put_header, put_method};
use crate::connection::{Connection, Incoming, PATIENCE};
use crate::link::{Declared, Link, News};
use crate::observation::{Event, NOTHING_TO_SETTLE, Names, Seen};
use crate::script::{Action, Content, Part, Script, Step};
use crate::settle::Effects;
use crate::side::{Pace, Side};
use crate::spec::{self, Method};

/// Channels from here on are used without being opened.
pub const NEVER_OPENED: u16 = 50;

/// After octets that need be no frame, by pace.
const LAST_WORDS: Duration = Duration::from_millis(400);
const LATE_WORDS: Duration = Duration::from_millis(1500);

/// How long a broker may take to close a socket after its connection.close.
const GOODBYE: Duration = Duration::from_secs(1);

/// More messages than a session leaves in a queue.
const DRAIN_LIMIT: usize = 300;

/// What was seen after each step.
pub type Observation = Vec<Vec<Seen>>;

#[derive(Debug)]
pub struct Queue {
    pub name: Vec<u8>,
    /// The connection that alone may see it, and which of its lives.
    pub owner: Option<(usize, usize)>,
}

pub struct Player<'a> {
    pub side: &'a mut Side,
    pub links: Vec<Option<Link>>,
    /// How often each connection was opened.
    pub lives: Vec<usize>,
    pub queues: Vec<Queue>,
    pub names: Names,
    pub seen: Vec<Seen>,
    /// A queue of the session works by a log, of which barriers do not know.
    pub slow: bool,
}

pub fn play(side: &mut Side, script: &Script, prefix: &str) -> Result<Observation> {
    let connections = script.steps.iter().map(|step| step.connection + 1).max();
    let connections = connections.unwrap_or(0);
    let mut player = Player {
        side,
        links: (0..connections).map(|_| None).collect(),
        lives: vec![0; connections],
        queues: Vec::new(),
        names: Names::new(prefix),
        seen: Vec::new(),
        slow: false,
    };
    let observation = player.steps(script);
    let cleaned = player.clean_up(script);
    let observation = observation?;
    cleaned.context("cleaning up")?;
    Ok(observation)
}

impl Player<'_> {
    fn steps(&mut self, script: &Script) -> Result<Observation> {
        let mut observation = Vec::new();
        let mut effects = Effects::Here;
        self.slow = script.steps.iter().any(works_by_log);
        for (place, step) in script.steps.iter().enumerate() {
            let started = self.step(step).with_context(|| step.to_string())?;
            effects = effects.max(started);
            let next = script.steps.get(place + 1);
            if !(step.concurrent && next.is_some_and(|next| next.concurrent)) {
                self.settle(effects).with_context(|| step.to_string())?;
                effects = Effects::Here;
            }
            observation.push(std::mem::take(&mut self.seen));
        }
        Ok(observation)
    }

    fn step(&mut self, step: &Step) -> Result<Effects> {
        match &step.action {
            Action::Sleep(milliseconds) => {
                std::thread::sleep(Duration::from_millis(*milliseconds));
                Ok(Effects::Everywhere)
            }
            Action::Drop => {
                self.drop_link(step.connection, &[])?;
                Ok(Effects::Late)
            }
            Action::Octets(octets) => {
                self.ready(step.connection, 0)?;
                self.drop_link(step.connection, octets)?;
                Ok(Effects::Late)
            }
            Action::Frame { kind, payload } => {
                let link = self.ready(step.connection, step.channel)?;
                let mut out = Vec::new();
                put_frame(&mut out, *kind, step.channel, payload);
                link.wire.send(&out);
                self.on_link(step.connection, Link::read_through)?;
                Ok(Effects::Everywhere)
            }
            Action::Drain(queue) => {
                self.drain(step, queue)?;
                Ok(Effects::Everywhere)
            }
            Action::Call {
                method,
                fields,
                content,
            } => self.call(step, method, fields, content.as_ref()),
        }
    }

    /// The connection and the channel, opened if they are not open.
    fn ready(&mut self, connection: usize, channel: u16) -> Result<&mut Link> {
        let open = self.links.get(connection).context("a connection")?;
        if open.is_none() {
            // Small frames on one of them, so that small bodies are cut.
            let frame_max = if connection == 0 { 4096 } else { 131_072 };
            self.lives[connection] += 1;
            self.links[connection] = Some(Link::open(&self.side.address, frame_max)?);
        }
        let open = self.links[connection].as_ref();
        let is_open = open.is_some_and(|link| link.channels.contains_key(&channel));
        if channel > 0 && channel < NEVER_OPENED && !is_open {
            self.on_link(connection, |link, other| {
                link.wire
                    .method(channel, spec::method("channel.open"), &Vec::new());
                opened(link, channel, other)
            })?;
        }
        let link = self.links.get_mut(connection).and_then(Option::as_mut);
        link.context("the connection has ended when a channel was opened")
    }

    fn call(
        &mut self,
        step: &Step,
        method: &'static Method,
        fields: &Fields,
        content: Option<&Content>,
    ) -> Result<Effects> {
        let (connection, channel) = (step.connection, step.channel);
        let link = self.links.get(connection).and_then(Option::as_ref);
        let was_open = link.is_some_and(|link| link.channels.contains_key(&channel));
        self.ready(connection, channel)?;
        if method.name == "channel.open" && !was_open && channel < NEVER_OPENED {
            return Ok(Effects::Here);
        }
        let Some(fields) = self.resolved(step, fields) else {
            self.see(connection, channel, Event::plain(NOTHING_TO_SETTLE));
            return Ok(Effects::Here);
        };
        let properties = content.map(|content| self.names.real_fields(&content.properties));
        let link = self.ready(connection, channel)?;
        let declared = link.note(channel, method, &fields);
        let mut out = Vec::new();
        put_method(&mut out, channel, method, &fields);
        if let (Some(content), Some(properties)) = (content, properties) {
            let cut = link.wire.frame_max - 8;
            put_content(&mut out, channel, content, &properties, cut);
            if let Some(channel) = link.channels.get_mut(&channel) {
                channel.in_content = content.part.is_open_ended();
            }
        } else if let Some(channel) = link.channels.get_mut(&channel) {
            channel.in_content = false;
        }
        link.wire.send(&out);
        link.closing |= channel == 0 && method.name == "connection.close";
        if !link.closing && !link.channels.contains_key(&channel) {
            self.on_link(connection, Link::read_through)?;
        }
        if let Some(declared) = declared {
            self.know(connection, declared);
        }
        Ok(Effects::of(method))
    }

    /// The fields as they go on the wire; none when there is no delivery to name.
    fn resolved(&self, step: &Step, fields: &Fields) -> Option<Fields> {
        let mut fields = self.names.real_fields(fields);
        for (_, field) in &mut fields {
            let Field::Unacked(place) = field else {
                continue;
            };
            let link = self.links.get(step.connection)?.as_ref()?;
            let unacked = &link.channels.get(&step.channel)?.unacked;
            let tag = unacked.get(*place % unacked.len().max(1))?;
            *field = Field::Number(*tag);
        }
        Some(fields)
    }

    fn drain(&mut self, step: &Step, queue: &[u8]) -> Result<()> {
        let get = spec::method("basic.get");
        let fields = vec![("queue", Field::text(queue)), ("no-ack", Field::Number(1))];
        for _ in 0..DRAIN_LIMIT {
            let before = self.seen.len();
            self.call(step, get, &fields, None)?;
            self.flows()?;
            let news = self.seen.get(before..).unwrap_or_default();
            if !news.iter().any(|seen| seen.event.name == "basic.get-ok") {
                break;
            }
        }
        Ok(())
    }

    /// Ends a connection without goodbye, after `octets`, and waits until the broker has noticed.
    fn drop_link(&mut self, connection: usize, octets: &[u8]) -> Result<()> {
        if self.links.get(connection).is_none_or(Option::is_none) {
            return Ok(());
        }
        let markers = self.mark(connection)?;
        if !octets.is_empty() {
            let patience = match self.side.pace {
                Pace::Quick => LAST_WORDS,
                Pace::Slow => LATE_WORDS,
            };
            self.on_link(connection, |link, other| {
                link.wire.send(octets);
                listen(link, patience, other)
            })?;
        }
        if let Some(mut link) = self.links[connection].take() {
            link.wire.shut();
        }
        for marker in markers {
            self.side.gone(&marker)?;
        }
        Ok(())
    }

    /// Gives every channel a consumer of a queue that goes with it, and the connection a queue of
    /// its own: when they are gone, the broker has noticed the end of the connection.
    fn mark(&mut self, connection: usize) -> Result<Vec<Vec<u8>>> {
        let link = self.links.get(connection).and_then(Option::as_ref);
        let channels = link.into_iter().flat_map(|link| &link.channels);
        let channels = channels.filter(|(_, channel)| channel.may_be_asked());
        let channels: Vec<u16> = channels.map(|(id, _)| *id).collect();
        let mut markers = vec![self.names.real(b"%end")];
        for id in &channels {
            markers.push(self.names.real(format!("%end-{id}").as_bytes()));
        }
        let consume = spec::method("basic.consume");
        self.on_link(connection, |link, other| {
            link.ask(&marker(&markers[0], "exclusive"), other)?;
            for (id, name) in channels.iter().zip(&markers[1..]) {
                link.ask(&marker(name, "auto-delete"), other)?;
                let fields = vec![
                    ("queue", Field::text(name)),
                    ("consumer-tag", Field::text(name)),
                    ("no-ack", Field::Number(1)),
                    ("no-wait", Field::Number(1)),
                ];
                link.wire.method(*id, consume, &fields);
            }
            Ok(())
        })?;
        self.flows()?;
        Ok(markers)
    }

    /// Works on a connection that may bring news meanwhile, or end.
    pub fn on_link(
        &mut self,
        connection: usize,
        work: impl FnOnce(&mut Link, &mut dyn FnMut(News)) -> Result<()>,
    ) -> Result<()> {
        let Some(mut link) = self.links.get_mut(connection).and_then(Option::take) else {
            return Ok(());
        };
        let mut news = Vec::new();
        let worked = work(&mut link, &mut |one| news.push(one));
        if link.over {
            // Who has asked for the end also closes the socket.
            if !link.closing {
                linger(&mut link.wire);
            }
            link.wire.shut();
        } else {
            self.links[connection] = Some(link);
        }
        for one in news {
            self.learn(connection, one);
        }
        worked
    }

    pub fn learn(&mut self, connection: usize, news: News) {
        if let Some(declared) = news.declared {
            self.know(connection, declared);
        }
        if let Some((channel, event)) = news.event {
            self.see(connection, channel, event);
        }
    }

    fn know(&mut self, connection: usize, declared: Declared) {
        let Declared { name, exclusive } = declared;
        if name.is_empty() || self.queues.iter().any(|queue| queue.name == name) {
            return;
        }
        let life = self.lives.get(connection).copied().unwrap_or(0);
        let owner = exclusive.then_some((connection, life));
        self.queues.push(Queue { name, owner });
    }

    pub fn see(&mut self, connection: usize, channel: u16, event: Event) {
        let fields = self.names.normal_fields(event.fields);
        let content = event
            .content
            .map(|(properties, body)| (self.names.normal_fields(properties), body));
        self.seen.push(Seen {
            connection,
            channel,
            event: Event {
                name: event.name,
                fields,
                content,
            },
        });
    }

    /// Leaves the broker as it was.
    fn clean_up(&mut self, script: &Script) -> Result<()> {
        for link in self.links.iter_mut().flatten() {
            let close = vec![("reply-code", Field::Number(200))];
            link.wire
                .method(0, spec::method("connection.close"), &close);
            let _ = listen(link, PATIENCE, &mut drop);
            link.wire.shut();
        }
        let mut queues: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut exchanges = BTreeSet::new();
        queues.extend(self.queues.iter().map(|queue| queue.name.clone()));
        for step in &script.steps {
            let Action::Call { method, fields, .. } = &step.action else {
                continue;
            };
            let (set, name) = match method.name {
                "queue.declare" => (&mut queues, "queue"),
                "exchange.declare" => (&mut exchanges, "exchange"),
                _ => continue,
            };
            let name = octets(fields, name);
            if name.contains(&b'%') || name.starts_with(b"<") {
                set.insert(self.names.real(name));
            }
        }
        for queue in queues {
            self.side.unlocked(&queue)?;
            self.side.delete_queue(&queue)?;
        }
        for exchange in exchanges {
            self.side.delete_exchange(&exchange)?;
        }
        Ok(())
    }
}

fn marker(name: &[u8], lives: &'static str) -> Fields {
    vec![("queue", Field::text(name)), (lives, Field::Number(1))]
}

fn works_by_log(step: &Step) -> bool {
    let Action::Call { fields, .. } = &step.action else {
        return false;
    };
    let Some(Field::Table(arguments)) = get(fields, "arguments") else {
        return false;
    };
    arguments.iter().any(|(key, _)| key == b"x-queue-type")
}

/// Reads until the channel is open.
fn opened(link: &mut Link, channel: u16, other: &mut dyn FnMut(News)) -> Result<()> {
    while !link.over {
        match link.wire.next(PATIENCE)? {
            Incoming::Method(arrived)
                if arrived.channel == channel && arrived.method.name == "channel.open-ok" =>
            {
                link.channels.insert(channel, Default::default());
                return Ok(());
            }
            Incoming::Method(arrived) => {
                let news = link.take(arrived);
                other(news);
            }
            Incoming::Ended => {
                link.over = true;
                other(News::ended());
            }
            Incoming::Nothing => bail!("no channel.open-ok"),
        }
    }
    Ok(())
}

/// Whatever comes until nothing does for a while, or the connection is over.
fn listen(link: &mut Link, patience: Duration, other: &mut dyn FnMut(News)) -> Result<()> {
    while !link.over {
        match link.wire.next(patience)? {
            Incoming::Method(arrived) => {
                let news = link.take(arrived);
                other(news);
            }
            Incoming::Ended => {
                link.over = true;
                other(News::ended());
            }
            Incoming::Nothing => break,
        }
    }
    Ok(())
}

/// The broker has said goodbye: its end of the socket closes when it is done.
fn linger(wire: &mut Connection) {
    let until = Instant::now() + GOODBYE;
    while Instant::now() < until && matches!(wire.next(GOODBYE), Ok(Incoming::Method(_))) {}
}

fn put_content(
    out: &mut Vec<u8>,
    channel: u16,
    content: &Content,
    properties: &Fields,
    cut: usize,
) {
    let body = content.body.octets();
    let size = body.len() as u64;
    let sent = match content.part {
        Part::OnlyMethod => return,
        Part::OnlyHeader => {
            // An empty body would make it whole.
            return put_header(out, channel, size.max(1), properties);
        }
        Part::HalfBody => &body[..body.len() / 2],
        Part::Whole | Part::LongBody => &body[..],
    };
    let announced = match content.part {
        Part::HalfBody => size.max(1),
        Part::LongBody => size / 2,
        Part::Whole | Part::OnlyMethod | Part::OnlyHeader => size,
    };
    put_header(out, channel, announced, properties);
    for chunk in sent.chunks(cut) {
        put_frame(out, FRAME_BODY, channel, chunk);
    }
}
