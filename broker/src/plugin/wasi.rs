//! WASI with nothing in it: no files, no environment, no network; what is written to standard
//! output goes to the log. Linked so that components of any tool chain load.
//!
//! Waiting is not possible: a call runs on a worker of the broker, where it may not block (and
//! wasmtime-wasi would panic, being inside an async runtime already). So `poll` and reads trap,
//! and writes never wait.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError,
    StreamResult, subscribe,
};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::bindings::warren::exchange::host::Level;
use super::reads::Field;
use super::state::{HostState, Surroundings};
use crate::clock::Clock;

/// What a stream takes at once; wasmtime-wasi makes room for so many zeroes when asked to.
const WRITE_PERMIT: usize = 4096;

/// A hash seed is 16 bytes; the host allocates what is asked for.
const MAX_RANDOM_BYTES: u64 = 4096;

pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub fn new(surroundings: &Surroundings) -> Wasi {
        let output = |level| LogStream {
            surroundings: surroundings.clone(),
            level,
        };
        let context = WasiCtx::builder()
            .stdout(output(Level::Info))
            .stderr(output(Level::Warn))
            .wall_clock(BrokerClock(Arc::clone(&surroundings.clock)))
            .monotonic_clock(BrokerClock(Arc::clone(&surroundings.clock)))
            .max_random_size(MAX_RANDOM_BYTES)
            .build();
        Wasi {
            context,
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<HostState, NeverWaiting>(linker, io)?;
    streams::add_to_linker::<HostState, NeverWaiting>(linker, io)?;
    // Again, through doors that note the reading.
    wall_clock::add_to_linker::<HostState, WasiClocks>(linker, clocks)?;
    monotonic_clock::add_to_linker::<HostState, WasiClocks>(linker, clocks)?;
    random::add_to_linker::<HostState, WasiRandom>(linker, random_numbers)?;
    insecure::add_to_linker::<HostState, WasiRandom>(linker, random_numbers)?;
    insecure_seed::add_to_linker::<HostState, WasiRandom>(linker, random_numbers)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn clocks(state: &mut HostState) -> WasiClocksCtxView<'_> {
    state.reads.field(Field::Clock);
    state.clocks()
}

fn random_numbers(state: &mut HostState) -> &mut WasiRandomCtx {
    state.reads.field(Field::Random);
    state.wasi().context.random()
}

struct NeverWaiting;

impl HasData for NeverWaiting {
    type Data<'a> = Io<'a>;
}

struct Io<'a>(&'a mut ResourceTable);

fn io(state: &mut HostState) -> Io<'_> {
    Io(&mut state.wasi().table)
}

fn waits() -> wasmtime::Error {
    wasmtime::Error::msg("an exchange type cannot wait for input, output or time")
}

impl poll::Host for Io<'_> {
    fn poll(&mut self, _pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        Err(waits())
    }
}

impl poll::HostPollable for Io<'_> {
    fn ready(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Err(waits())
    }

    fn block(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        Err(waits())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.delete(pollable)?;
        Ok(())
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(&mut self, err: StreamError) -> wasmtime::Result<streams::StreamError> {
        match err {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(error) => Ok(
                streams::StreamError::LastOperationFailed(self.0.push(error)?),
            ),
            StreamError::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for Io<'_> {
    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }

    // Standard input is the only one there is, and it is at its end.
    fn read(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(
        &mut self,
        _stream: Resource<DynInputStream>,
        _len: u64,
    ) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynInputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.0, stream)
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(self.0.get_mut(&stream)?.check_write()? as u64)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.0.get_mut(&stream)?.write(bytes.into())
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        self.write_zeroes(stream, len)
    }

    fn subscribe(
        &mut self,
        stream: Resource<DynOutputStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.0, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.0.get_mut(&stream)?.write_zeroes(len)
    }

    fn flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn splice(
        &mut self,
        _into: Resource<DynOutputStream>,
        _from: Resource<DynInputStream>,
        _len: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _into: Resource<DynOutputStream>,
        _from: Resource<DynInputStream>,
        _len: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }
}

#[derive(Clone)]
struct LogStream {
    surroundings: Surroundings,
    level: Level,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    /// Only the third WASI asks for this one, and it is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let Surroundings {
            clock,
            log,
            exchange,
            ..
        } = &self.surroundings;
        for line in String::from_utf8_lossy(&bytes).lines() {
            log.line(self.level, exchange, line, clock.now());
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}

struct BrokerClock(Arc<dyn Clock>);

impl HostWallClock for BrokerClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now())
    }
}

impl HostMonotonicClock for BrokerClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.0.now().saturating_mul(1_000_000)
    }
}
