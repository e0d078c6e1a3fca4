//! The message of the running call, lent to a plugin's store for just that call, without a copy.
//! The only place where a message's lifetime is not what the compiler sees.

use wasmtime::Store;

use super::bindings::exports::warren::exchange::exchange_type::Answer;
use super::guest::Guest;
use super::state::HostState;
use crate::message::MessageView;
use crate::vhost::exchange_type::Call;

/// Empty except while `call` runs. Cannot be cloned, and its content cannot be taken out: it can
/// only be looked at for as long as the `Lent` itself is borrowed.
#[derive(Default)]
pub(super) struct Lent(Option<MessageView<'static>>);

impl Lent {
    pub fn view(&self) -> Option<MessageView<'_>> {
        self.0
    }
}

/// Takes the message back when the call is over, however it ends.
struct Loan<'s>(&'s mut Store<HostState>);

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.0.data_mut().message = Lent(None);
    }
}

/// Asks the component with the message in reach of the store's host functions.
pub(super) fn call(
    store: &mut Store<HostState>,
    guest: &Guest,
    call: Call<'_>,
) -> wasmtime::Result<Answer> {
    // SAFETY: only the lifetime changes. The 'static view exists in exactly one place, the `Lent`
    // in this store's data, from the assignment below until `loan` is dropped, which happens
    // before this function returns or unwinds: `loan` is a local that nothing else can forget.
    // So the view is gone before `call`'s borrow can end. Until then
    // - nobody else reaches the store: `loan` holds the only `&mut` to it;
    // - the host functions that run inside the call get `&mut HostState` and can see the view only
    //   through `Lent::view`, whose result lives no longer than their borrow of the state, and
    //   that borrow ends when the host function returns;
    // - the field is private to this module and `Lent` is neither `Clone` nor `Copy`; `state.rs`
    //   never moves its `message` field (`mem::take` and the like) out of the state.
    let message: MessageView<'static> = unsafe { std::mem::transmute(call.message) };
    let loan = Loan(store);
    loan.0.data_mut().message = Lent(Some(message));
    guest.ask(loan.0, call.moment)
}
