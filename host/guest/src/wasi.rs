//! The little of WASI that a guest gets. Nothing here reaches outside: no files, no
//! network, no environment; the clock stands at the batch's time, the dice are loaded,
//! and what is printed goes to the plugin's log.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::Fault;
use super::bindings::wasi::wasi::{cli, clocks, io, random};
use super::state::State;

const STDOUT: u32 = 0;
const STDERR: u32 = 1;

/// Bytes that a guest may print at once.
const PRINT_BYTES_MAX: u64 = 64 << 10;

/// Random bytes that a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

impl State {
    fn refuse<T>(&mut self, what: &'static str) -> Result<T> {
        self.denied = Some(Fault::NotGranted { what });
        Err(wasmtime::format_err!("the guest asked for {what}, which it has not"))
    }

    /// Microseconds since 1970, before which these clocks know no time.
    fn micros(&self) -> u64 {
        self.now.max(0).unsigned_abs()
    }

    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            return self.refuse("more random bytes than 64 KiB at once");
        }
        Ok((0..len).map(|_| self.roll().to_le_bytes()[0]).collect())
    }
}

impl io::error::Host for State {}
impl io::error::HostError for State {
    fn to_debug_string(&mut self, _: Resource<io::error::Error>) -> Result<String> {
        Ok(String::new())
    }
    fn drop(&mut self, _: Resource<io::error::Error>) -> Result<()> {
        Ok(())
    }
}

impl io::poll::Host for State {
    fn poll(&mut self, _: Vec<Resource<io::poll::Pollable>>) -> Result<Vec<u32>> {
        self.refuse("a wait")
    }
}
impl io::poll::HostPollable for State {
    fn ready(&mut self, _: Resource<io::poll::Pollable>) -> Result<bool> {
        Ok(true)
    }
    fn block(&mut self, _: Resource<io::poll::Pollable>) -> Result<()> {
        self.refuse("a wait")
    }
    fn drop(&mut self, _: Resource<io::poll::Pollable>) -> Result<()> {
        Ok(())
    }
}

type StreamResult<T> = Result<std::result::Result<T, io::streams::StreamError>>;

impl io::streams::Host for State {}
impl io::streams::HostInputStream for State {
    fn read(&mut self, _: Resource<io::streams::InputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Ok(Err(io::streams::StreamError::Closed))
    }
    fn blocking_read(&mut self, _: Resource<io::streams::InputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Ok(Err(io::streams::StreamError::Closed))
    }
    fn skip(&mut self, _: Resource<io::streams::InputStream>, _: u64) -> StreamResult<u64> {
        Ok(Err(io::streams::StreamError::Closed))
    }
    fn blocking_skip(&mut self, _: Resource<io::streams::InputStream>, _: u64) -> StreamResult<u64> {
        Ok(Err(io::streams::StreamError::Closed))
    }
    fn subscribe(&mut self, _: Resource<io::streams::InputStream>) -> Result<Resource<io::poll::Pollable>> {
        Ok(Resource::new_own(0))
    }
    fn drop(&mut self, _: Resource<io::streams::InputStream>) -> Result<()> {
        Ok(())
    }
}
impl io::streams::HostOutputStream for State {
    fn check_write(&mut self, _: Resource<io::streams::OutputStream>) -> StreamResult<u64> {
        Ok(Ok(PRINT_BYTES_MAX))
    }
    fn write(&mut self, stream: Resource<io::streams::OutputStream>, contents: Vec<u8>) -> StreamResult<()> {
        if contents.len() as u64 > PRINT_BYTES_MAX {
            return self.refuse("room to print more than 64 KiB at once");
        }
        self.print(if stream.rep() == STDOUT { 0 } else { 1 }, &contents);
        Ok(Ok(()))
    }
    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<io::streams::OutputStream>,
        contents: Vec<u8>,
    ) -> StreamResult<()> {
        io::streams::HostOutputStream::write(self, stream, contents)
    }
    fn flush(&mut self, _: Resource<io::streams::OutputStream>) -> StreamResult<()> {
        Ok(Ok(()))
    }
    fn blocking_flush(&mut self, _: Resource<io::streams::OutputStream>) -> StreamResult<()> {
        Ok(Ok(()))
    }
    fn subscribe(&mut self, _: Resource<io::streams::OutputStream>) -> Result<Resource<io::poll::Pollable>> {
        Ok(Resource::new_own(0))
    }
    fn drop(&mut self, _: Resource<io::streams::OutputStream>) -> Result<()> {
        Ok(())
    }
}

impl cli::environment::Host for State {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }
    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}
impl cli::exit::Host for State {
    fn exit(&mut self, _: std::result::Result<(), ()>) -> Result<()> {
        self.refuse("the end of the process")
    }
}
impl cli::stdin::Host for State {
    fn get_stdin(&mut self) -> Result<Resource<io::streams::InputStream>> {
        Ok(Resource::new_own(0))
    }
}
impl cli::stdout::Host for State {
    fn get_stdout(&mut self) -> Result<Resource<io::streams::OutputStream>> {
        Ok(Resource::new_own(STDOUT))
    }
}
impl cli::stderr::Host for State {
    fn get_stderr(&mut self) -> Result<Resource<io::streams::OutputStream>> {
        Ok(Resource::new_own(STDERR))
    }
}
impl cli::terminal_input::Host for State {}
impl cli::terminal_input::HostTerminalInput for State {
    fn drop(&mut self, _: Resource<cli::terminal_input::TerminalInput>) -> Result<()> {
        Ok(())
    }
}
impl cli::terminal_output::Host for State {}
impl cli::terminal_output::HostTerminalOutput for State {
    fn drop(&mut self, _: Resource<cli::terminal_output::TerminalOutput>) -> Result<()> {
        Ok(())
    }
}
impl cli::terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        Ok(None)
    }
}
impl cli::terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}
impl cli::terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl clocks::monotonic_clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        Ok(self.micros().saturating_mul(1_000))
    }
    fn resolution(&mut self) -> Result<u64> {
        Ok(1_000)
    }
    fn subscribe_instant(&mut self, _: u64) -> Result<Resource<io::poll::Pollable>> {
        self.refuse("a wait")
    }
    fn subscribe_duration(&mut self, _: u64) -> Result<Resource<io::poll::Pollable>> {
        self.refuse("a wait")
    }
}
impl clocks::wall_clock::Host for State {
    fn now(&mut self) -> Result<clocks::wall_clock::Datetime> {
        let micros = self.micros();
        let nanoseconds = (micros % 1_000_000) as u32 * 1_000;
        Ok(clocks::wall_clock::Datetime { seconds: micros / 1_000_000, nanoseconds })
    }
    fn resolution(&mut self) -> Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl random::random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }
    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.roll())
    }
}
impl random::insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }
    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.roll())
    }
}
impl random::insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.roll(), self.roll()))
    }
}
