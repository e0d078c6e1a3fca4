//! Permissions and topic permissions.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::{Call, Fields, Handled, after};
use super::listing::{all, one};
use crate::auth::{PermissionRow, TopicPermissionRow};
use crate::vhost::DoorError;

pub(super) fn row(row: &PermissionRow) -> Value {
    json!({
        "user": row.user,
        "vhost": row.vhost,
        "configure": row.configure,
        "write": row.write,
        "read": row.read,
    })
}

pub(super) fn topic_row(row: &TopicPermissionRow) -> Value {
    json!({
        "user": row.user,
        "vhost": row.vhost,
        "exchange": row.exchange,
        "write": row.write,
        "read": row.read,
    })
}

fn rows(call: &Call, wanted: impl Fn(&PermissionRow) -> bool) -> Handled {
    let mut permissions = call.house.users.permissions();
    permissions.retain(wanted);
    all(call, permissions.iter().map(row).collect())
}

fn topic_rows(call: &Call, wanted: impl Fn(&TopicPermissionRow) -> bool) -> Handled {
    let mut permissions = call.house.users.topic_permissions();
    permissions.retain(wanted);
    all(call, permissions.iter().map(topic_row).collect())
}

pub(super) fn list(call: &Call) -> Handled {
    rows(call, |_| true)
}

pub(super) fn of_vhost(call: &Call) -> Handled {
    call.vhost()?;
    rows(call, |row| row.vhost == call.part(0))
}

pub(super) fn of_user(call: &Call) -> Handled {
    check_user(call, 0)?;
    rows(call, |row| row.user == call.part(0))
}

fn check_user(call: &Call, part: usize) -> Result<(), Failure> {
    let user = call.house.users.user(call.part(part));
    user.map(drop).ok_or(Failure::NotFound)
}

pub(super) fn show(call: &Call) -> Handled {
    let permissions = call.house.users.permissions();
    let found = permissions
        .iter()
        .find(|row| row.vhost == call.part(0) && row.user == call.part(1));
    one(call, row(found.ok_or(Failure::NotFound)?))
}

/// A user or vhost that is not there is a mistake of whoever asks.
fn refused(error: DoorError) -> Failure {
    match error {
        DoorError::NoSuchVhost(_) | DoorError::NoSuchUser(_) => {
            Failure::bad("vhost_or_user_not_found")
        }
        DoorError::InvalidPattern(reason) => Failure::bad(json!(["invalid_regexp", reason])),
        other @ (DoorError::NoSuchPolicy
        | DoorError::VhostExists(_)
        | DoorError::Protected(_)
        | DoorError::InvalidName
        | DoorError::UnknownQueueType(_)
        | DoorError::InvalidPolicy(_)) => Failure::from(other),
    }
}

pub(super) fn put(call: &Call) -> Handled {
    let fields = call.fields()?;
    let (vhost, user) = (call.part(0), call.part(1));
    let row = read(user, vhost, &fields)?;
    let before = call.house.users.may_enter(user, vhost);
    let saved = call.house.users.set_permissions(row).map_err(refused)?;
    after(saved, Answer::put(!before))
}

pub(super) fn read(user: &str, vhost: &str, fields: &Fields) -> Result<PermissionRow, Failure> {
    fields.require(&["configure", "write", "read"])?;
    let pattern = |key| Ok::<_, Failure>(fields.text(key)?.unwrap_or_default().to_owned());
    Ok(PermissionRow {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        configure: pattern("configure")?,
        write: pattern("write")?,
        read: pattern("read")?,
    })
}

pub(super) fn delete(call: &Call) -> Handled {
    let (vhost, user) = (call.part(0), call.part(1));
    if !call.house.users.may_enter(user, vhost) {
        return Err(Failure::NotFound);
    }
    let saved = call.house.users.clear_permissions(user, vhost)?;
    after(saved, Answer::no_content())
}

pub(super) fn list_topics(call: &Call) -> Handled {
    topic_rows(call, |_| true)
}

pub(super) fn topics_of_vhost(call: &Call) -> Handled {
    call.vhost()?;
    topic_rows(call, |row| row.vhost == call.part(0))
}

pub(super) fn topics_of_user(call: &Call) -> Handled {
    check_user(call, 0)?;
    topic_rows(call, |row| row.user == call.part(0))
}

pub(super) fn show_topics(call: &Call) -> Handled {
    call.vhost()?;
    check_user(call, 1)?;
    let has = call.house.users.has_topics(call.part(1), call.part(0));
    if !has {
        return Err(Failure::NotFound);
    }
    topic_rows(call, |row| {
        row.vhost == call.part(0) && row.user == call.part(1)
    })
}

pub(super) fn put_topic(call: &Call) -> Handled {
    let fields = call.fields()?;
    let (vhost, user) = (call.part(0), call.part(1));
    let row = read_topic(user, vhost, &fields)?;
    let before = call.house.users.has_topics(user, vhost);
    let saved = call
        .house
        .users
        .set_topic_permissions(row)
        .map_err(refused)?;
    after(saved, Answer::put(!before))
}

pub(super) fn read_topic(
    user: &str,
    vhost: &str,
    fields: &Fields,
) -> Result<TopicPermissionRow, Failure> {
    fields.require(&["exchange", "write", "read"])?;
    let text = |key| Ok::<_, Failure>(fields.text(key)?.unwrap_or_default().to_owned());
    Ok(TopicPermissionRow {
        user: user.to_owned(),
        vhost: vhost.to_owned(),
        exchange: text("exchange")?,
        write: text("write")?,
        read: text("read")?,
    })
}

/// Of one exchange where the path names one.
pub(super) fn delete_topics(call: &Call) -> Handled {
    let (vhost, user) = (call.part(0), call.part(1));
    call.vhost()?;
    check_user(call, 1)?;
    let exchange = call.captured.get(2).map(String::as_str);
    let saved = call
        .house
        .users
        .clear_topic_permissions(user, vhost, exchange)?;
    after(saved, Answer::no_content())
}
