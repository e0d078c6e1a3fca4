//! SIGKILL at random moments, and a disk that delays, loses or fails. By default a few rounds of
//! each; all of them with
//! `cargo test --release -p warren-tests --test crash -- --ignored --nocapture --test-threads 1`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use warren_tests::crash::{
    Connection, Ended, Kind, Ledger, Loss, Publisher, Random, Report, Run, SharedLedger, Shim,
    Taken, print_table,
};
use warren_tests::kit::{Broker, Options, eventually};

/// Side by side these runs would only measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const FEW: u64 = 5;
const ALL: u64 = 30;

fn without_fault(run: &Run<'_>) {
    let report = run.run();
    print_table(&[(run.name, report)]);
    assert!(report.confirmed > 0, "nothing was confirmed: {report:?}");
    assert!(report.delivered > 0, "nothing was delivered: {report:?}");
    assert_eq!(report.faults(), 0, "{report:?}, seed {}", run.seed);
}

fn killed(name: &'static str, kind: Kind, rounds: u64) {
    let _one = ONE_AT_A_TIME.lock();
    let seed = Random::seed();
    without_fault(&Run {
        name,
        kind,
        rounds,
        seed,
        shim: None,
    });
}

fn power_cut(name: &'static str, kind: Kind, loss: Loss, rounds: u64) {
    let _one = ONE_AT_A_TIME.lock();
    let shim = Shim::build();
    let seed = Random::seed();
    without_fault(&Run {
        name,
        kind,
        rounds,
        seed,
        shim: Some((&shim, loss)),
    });
}

#[test]
fn a_killed_broker_keeps_what_it_confirmed() {
    killed("killed", Kind::Routed, FEW);
}

#[test]
fn a_killed_broker_keeps_what_it_held() {
    killed("killed, delayed", Kind::Delayed, FEW);
}

#[test]
fn a_power_cut_takes_nothing_that_was_confirmed() {
    power_cut("power cut", Kind::Routed, Loss::All, FEW);
}

#[test]
fn a_power_cut_takes_nothing_that_is_held() {
    power_cut("power cut, delayed", Kind::Delayed, Loss::All, 3);
}

#[test]
fn a_torn_write_takes_nothing_that_was_confirmed() {
    power_cut("torn writes", Kind::Routed, Loss::Torn, FEW);
}

#[test]
#[ignore = "30 rounds"]
fn all_killed() {
    killed("killed", Kind::Routed, ALL);
}

#[test]
#[ignore = "30 rounds"]
fn all_killed_delayed() {
    killed("killed, delayed", Kind::Delayed, ALL);
}

#[test]
#[ignore = "30 rounds"]
fn all_power_cuts() {
    power_cut("power cut", Kind::Routed, Loss::All, ALL);
}

#[test]
#[ignore = "30 rounds"]
fn all_power_cuts_delayed() {
    power_cut("power cut, delayed", Kind::Delayed, Loss::All, ALL);
}

#[test]
#[ignore = "30 rounds"]
fn all_torn_writes() {
    power_cut("torn writes", Kind::Routed, Loss::Torn, ALL);
}

#[test]
#[ignore = "30 rounds"]
fn all_scattered_writes() {
    power_cut("scattered writes", Kind::Routed, Loss::Scattered, ALL);
}

/// A broker above the shim, with the queues declared.
fn on_shim(shim: &Shim, sync_delay_ms: u64) -> (Broker, std::sync::Arc<SharedLedger>) {
    let options = Options {
        data_dir: Some(shim.data()),
        env: shim.environment(sync_delay_ms),
        ..Options::default()
    };
    let broker = Broker::start(options);
    let mut connection = Connection::open(broker.address()).expect("a connection");
    Kind::Routed.declare(&mut connection).expect("declared");
    let queues = Kind::Routed.queues().len();
    (broker, SharedLedger::new(Ledger::new(1, queues, true)))
}

#[test]
fn no_confirm_leaves_before_its_sync_ended() {
    let _one = ONE_AT_A_TIME.lock();
    let shim = Shim::build();
    let (mut broker, ledger) = on_shim(&shim, 200);
    let seed = Random::seed();
    // Nobody consumes: an acknowledged message needs no disk.
    let plan = Kind::Routed.plan(100);
    let random = Random::new(seed);
    let publisher = Publisher::start(broker.address(), 0, &plan, random, &ledger);
    let publisher = publisher.expect("a publisher");
    eventually(Duration::from_secs(60), || publisher.settled() >= 1000);
    broker.kill();
    publisher.join();
    let report = ledger.with(|ledger| ledger.report());
    let counts = Report { lost: 0, ..report };
    print_table(&[("sync takes 200 ms", counts)]);
    assert!(
        report.min_confirm >= Some(Duration::from_millis(200)),
        "{report:?}, seed {seed}"
    );
}

#[test]
fn a_disk_that_fails_confirms_nothing_and_ends_the_broker() {
    let _one = ONE_AT_A_TIME.lock();
    for at_full_speed in [false, true] {
        let shim = Shim::build();
        let (mut broker, ledger) = on_shim(&shim, 0);
        let mut random = Random::new(Random::seed());
        let mut plan = Kind::Routed.plan(300);
        plan.limit = Some(5000).filter(|_| !at_full_speed);
        let publisher = Publisher::start(broker.address(), 0, &plan, random.fork(), &ledger);
        let publisher = publisher.expect("a publisher");
        eventually(Duration::from_secs(30), || publisher.settled() >= 5000);
        let witness = Connection::open(broker.address()).expect("a connection");
        fs::write(shim.eio_file(), "").expect("the disk breaks");
        let ended = if at_full_speed {
            publisher.join()
        } else {
            // Everything was confirmed before; whatever is published from here on must not be.
            publisher.stop();
            publisher.join();
            let confirmed = ledger.with(|ledger| ledger.report().confirmed);
            plan.limit = None;
            let second = Publisher::start(broker.address(), 0, &plan, random.fork(), &ledger);
            let ended = second.expect("a publisher").join();
            let after = ledger.with(|ledger| ledger.report().confirmed);
            assert_eq!(after, confirmed, "confirmed without a disk");
            ended
        };
        assert!(
            matches!(ended, Ended::Closed { code: 541, .. }),
            "the publisher saw {ended:?}"
        );
        drop(witness);
        let status = broker.wait();
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        broker.logs("the store has failed");
        let taken = shim.lose(Loss::All, &mut random);
        fs::remove_file(shim.eio_file()).expect("the disk is whole again");
        ledger.with(|ledger| ledger.next_round());
        broker.restart();
        let run = Run {
            name: "EIO",
            kind: Kind::Routed,
            rounds: 0,
            seed: random.draw(),
            shim: None,
        };
        run.drain(&broker, &ledger, &mut random);
        let report = ledger.with(|ledger| ledger.report());
        println!("EIO: {ended}, {status}, not synced and taken back: {taken:?}");
        print_table(&[("EIO", report)]);
        assert_eq!(report.faults(), 0, "{report:?}");
    }
}

const CHILD: &str = "WARREN_SHIM_CHILD";

/// What the shim's own test does to a disk; run by it in a process of its own, above the shim.
#[test]
#[ignore = "run by the shim's own test"]
fn child_of_the_shim_test() {
    use std::io::{Seek as _, Write as _};
    let Some(data) = std::env::var_os(CHILD) else {
        return;
    };
    let data = Path::new(&data);
    let synced = |name: &str, octets: &[u8]| {
        let mut file = fs::File::create(data.join(name)).expect("create");
        file.write_all(octets).expect("write");
        file.sync_data().expect("sync");
        file
    };
    synced("overwritten", b"0123456789");
    synced("cut", b"0123456789");
    synced("appended", b"0123456789");
    synced("removed", b"removed");
    synced("renamed", b"renamed");
    synced("emptied", b"emptied");
    let mut twice = synced("twice", b"0123456789");
    fs::File::open(data)
        .and_then(|dir| dir.sync_all())
        .expect("sync of the folder");

    let mut file = fs::File::options()
        .write(true)
        .open(data.join("overwritten"))
        .expect("open");
    file.seek(std::io::SeekFrom::Start(4)).expect("seek");
    file.write_all(b"xxxxxxxxxxxxx").expect("write");
    let file = fs::File::options()
        .write(true)
        .open(data.join("cut"))
        .expect("open");
    file.set_len(3).expect("set_len");
    let mut file = fs::File::options()
        .append(true)
        .open(data.join("appended"))
        .expect("open");
    file.write_all(b"abc").expect("write");
    file.try_clone()
        .and_then(|clone| clone.sync_data())
        .expect("sync by another descriptor");
    file.write_all(b"lost").expect("write");
    twice.write_all(b"and").expect("write");
    twice.sync_all().expect("sync");
    twice.write_all(b"lost").expect("write");
    fs::remove_file(data.join("removed")).expect("remove");
    fs::rename(data.join("renamed"), data.join("elsewhere")).expect("rename");
    fs::File::create(data.join("emptied")).expect("truncate");
    synced("synced but not in its folder", b"x");
    let seen = fs::read(data.join("overwritten")).expect("read");
    assert_eq!(seen, b"0123xxxxxxxxxxxxx", "reads see what is not synced");
    fs::write(data.join("written"), b"").expect("write");
    loop {
        std::thread::park();
    }
}

fn child(shim: &Shim) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child_of_the_shim_test", "--ignored"])
        .envs(shim.environment(0))
        .env(CHILD, shim.data())
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts")
}

#[test]
fn the_shim_loses_what_was_not_synced_and_nothing_else() {
    let shim = Shim::build();
    let data = shim.data();
    let mut child = child(&shim);
    eventually(Duration::from_secs(20), || data.join("written").exists());
    child.kill().expect("SIGKILL");
    child.wait().expect("the end");
    let read = |name: &str| {
        let octets = fs::read(data.join(name)).ok()?;
        Some(String::from_utf8_lossy(&octets).into_owned())
    };
    assert_eq!(read("overwritten").as_deref(), Some("0123xxxxxxxxxxxxx"));
    assert_eq!(read("elsewhere").as_deref(), Some("renamed"));
    let taken = shim.lose(Loss::All, &mut Random::new(1));
    assert!(taken.names >= 4 && taken.writes >= 4, "{taken:?}");
    for (name, content) in [
        ("overwritten", Some("0123456789")),
        ("cut", Some("0123456789")),
        ("appended", Some("0123456789abc")),
        ("twice", Some("0123456789and")),
        ("removed", Some("removed")),
        ("renamed", Some("renamed")),
        ("emptied", Some("emptied")),
        ("elsewhere", None),
        ("synced but not in its folder", None),
        ("written", None),
    ] {
        assert_eq!(read(name).as_deref(), content, "{name}");
    }
    assert_eq!(shim.lose(Loss::All, &mut Random::new(1)), Taken::default());
}
