//! WASI with nothing in it, for services: no files, no environment, no network; clock, time and
//! random numbers only. Unlike an exchange type a service may wait.

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::instance::ServiceState;

pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Default for Wasi {
    fn default() -> Wasi {
        Wasi {
            context: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for ServiceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(Box::default);
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<ServiceState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}
