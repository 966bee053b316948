//! `tidelog serve`: settings, logs, the runtime, one broker, and its end by signal.

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::{ExitCode, exit};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};
use sd_notify::NotifyState;
use tidelog::clock::{Clock, machine_time};
use tidelog::config::{Config, DataLocation, Durability};
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::observability::{logs, requests};
use tidelog::room::{Descriptors, Memory, Shares, Source};
use tidelog::server::Server;
use tidelog::shell::spawn_short;
use tidelog::wire::Bounds;
use tidelog_cli::settings::{self, Command, ServeSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::service_manager::{keep_watchdog, tell, telling_reload};
use crate::{LEFTOVERS, failed, variables};

/// Exit code of a process that a signal ended in the middle of its start or stop.
const EXIT_INTERRUPTED: u8 = 130;
/// How long a stop may take in all; a machine gives a process 10 s until it kills it.
const STOP_MAX: Duration = Duration::from_millis(7_000);
/// Threads for work that may block: 16 reads of files for clients, pieces of files for peers, names to be looked
/// up. Further work waits for one of them.
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs a broker until a signal ends it.
pub(crate) fn run(settings: &ServeSettings) -> ExitCode {
    let config = &settings.broker;
    // Set before the first thread: only the broker's user may read the files that it creates.
    umask(Mode::RWXG | Mode::RWXO);
    if let Err(error) = logs::start(&settings.log.filter, settings.log.format) {
        return failed(&format!("cannot start the log: {error}"));
    }
    requests::set(settings.log.requests);
    if !settings.foreign_variables.is_empty() {
        tracing::info!(
            "taken from the environment as in kinesis-mock: {}",
            settings.foreign_variables.join(", ")
        );
    }
    for warning in settings::unknown_variables(variables()) {
        tracing::warn!("{warning}");
    }
    let listen = match settings::resolve_listen(&settings.listen) {
        Ok(listen) => listen,
        Err(error) => return failed(&error),
    };
    raise_open_files();
    let memory = match Memory::resolve(config.memory) {
        Ok(memory) => memory,
        Err(error) => return failed(&error),
    };
    if memory.source == Source::Unknown {
        tracing::warn!(
            "cannot read the memory limit of the process or of the machine; set one with --memory"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let config = Config { listen, ..config.clone() };
    let outcome = runtime.block_on(serve(settings, &config, memory));
    runtime.shutdown_timeout(LEFTOVERS);
    let code = outcome.unwrap_or_else(|error| failed(&error));
    logs::flush();
    code
}

/// Raises the limit of open files as far as it may go: connections and segment files share it.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn serve(
    settings: &ServeSettings,
    config: &Config,
    memory: Memory,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Before anything takes time: by default this signal ends a process.
    let mut hangup = signal(SignalKind::hangup())?;
    let server = tokio::select! {
        started = Server::start(config, Bounds::within(&Shares::of(memory.bytes)), Clock::System) => started?,
        // Nothing has been acknowledged yet: an interrupted start leaves the files that a crash would leave.
        () = either(&mut terminate, &mut interrupt) => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
    };
    let descriptors = Descriptors::found();
    tracing::info!("memory: {memory}; open files: {}; at most {descriptors}", descriptors.limit);
    let mut greeting = Vec::new();
    greet(&mut greeting, config, memory, &server)?;
    print_greeting(greeting)?;
    tell(&[NotifyState::Ready]);
    tokio::select! {
        () = either(&mut terminate, &mut interrupt) => {}
        never = keep_watchdog(server.write_path()) => match never {},
        never = reload_by_signal(&mut hangup, &server) => match never {},
    }
    tell(&[NotifyState::Stopping]);
    spawn_short(async move {
        either(&mut terminate, &mut interrupt).await;
        logs::flush();
        exit(EXIT_INTERRUPTED.into());
    });
    if !settings.drain.is_zero() {
        let seconds = settings.drain.as_secs();
        tracing::info!(
            "draining: serving for {seconds} s more; /ready answers 503; a second signal stops at once"
        );
        server.leave();
        sleep(settings.drain).await;
    }
    tracing::info!("stopping; a second signal stops at once");
    match timeout(STOP_MAX, server.shutdown()).await {
        Ok(stopped) => stopped?,
        Err(_) => {
            tracing::warn!(
                "stop: ending the process, because the stop takes too long; no acknowledged record is lost"
            );
            logs::flush();
            exit(0);
        }
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Reloads at each SIGHUP.
async fn reload_by_signal(hangup: &mut Signal, server: &Server) -> Infallible {
    loop {
        hangup.recv().await;
        telling_reload(|| reload(server));
    }
}

/// Reads the certificates again, on SIGHUP, and the settings of the log, which can only have changed in the file that
/// --config names. Each part logs its own outcome.
fn reload(server: &Server) {
    tracing::info!("SIGHUP: reloading the certificates and the level of the log");
    server.certificates().reload(machine_time());
    let settings = match settings::load(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(Command::Serve(settings)) => settings,
        Ok(_) => return,
        Err(error) => {
            tracing::error!(%error, "the settings are refused; the level of the log stays as it was");
            return;
        }
    };
    requests::set(settings.log.requests);
    let log = settings.log.filter;
    match logs::set_filter(&log) {
        Ok(()) => tracing::info!(log, "the level of the log is reloaded"),
        Err(error) => tracing::error!(error, log, "the level of the log is refused"),
    }
}

/// Standard output may be closed, or read by nobody; neither is a reason not to serve, nor not to stop.
fn print_greeting(greeting: Vec<u8>) -> io::Result<()> {
    let print = move || drop(io::stdout().lock().write_all(&greeting));
    std::thread::Builder::new().name("greeting".into()).spawn(print).map(drop)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn greet(to: &mut impl Write, config: &Config, memory: Memory, server: &Server) -> io::Result<()> {
    let path = server.data_path().display();
    writeln!(to, "tidelog {}", env!("CARGO_PKG_VERSION"))?;
    for address in server.addresses() {
        writeln!(to, "  listening on  http://{address}")?;
        writeln!(to, "                https://{address}")?;
    }
    match &config.data {
        DataLocation::Directory(_) if server.is_new() => {
            writeln!(to, "  data          {path} (new data directory)")?;
        }
        DataLocation::Directory(_) => writeln!(to, "  data          {path}")?,
        DataLocation::Ephemeral => writeln!(to, "  data          {path} (ephemeral: removed at exit)")?,
    }
    let trust = server.trust().display();
    match config.certificate {
        None => writeln!(to, "  certificate   by the CA in {trust}")?,
        Some(_) => writeln!(to, "  certificate   {trust}")?,
    }
    match config.durability {
        _ if config.data == DataLocation::Ephemeral => {
            writeln!(to, "  durability    none: nothing is synced, and all data goes with the process")?;
        }
        Durability::Fsync => writeln!(to, "  durability    fsync before every acknowledgement")?,
        Durability::Interval(interval) => writeln!(
            to,
            "  durability    synced every {} ms: a power loss loses up to that much",
            interval.as_millis()
        )?,
    }
    writeln!(to, "  memory        {memory}")?;
    writeln!(to, "  shard limits  {}", described(&config.limits))?;
    let control = if config.control_limits == ControlLimits::aws() {
        "aws (5 calls/s for most operations)"
    } else if config.control_limits == ControlLimits::off() {
        "off"
    } else {
        "as configured"
    };
    writeln!(to, "  control plane {control}")?;
    let Some(address) = server.addresses().first() else { return Ok(()) };
    let host = if address.ip().is_unspecified() { "127.0.0.1".into() } else { address.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    writeln!(to, "For SDKs, KCL and the aws command line (Kinesis, DynamoDB, CloudWatch and STS):")?;
    writeln!(to, "  export AWS_ENDPOINT_URL=http://{host}:{}", address.port())?;
    writeln!(to, "  export AWS_REGION={0} AWS_DEFAULT_REGION={0}", config.region)?;
    writeln!(to, "  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any")
}

fn described(limits: &ShardLimits) -> String {
    if *limits == ShardLimits::aws() {
        return "aws (in: 1 MiB/s, 1000 records/s; out: 2 MiB/s, 5 calls/s; per consumer: 2 MiB/s)".into();
    }
    if *limits == ShardLimits::off() {
        return "off".into();
    }
    let figure = |limit: Option<u64>| limit.map_or_else(|| "off".into(), |figure| figure.to_string());
    format!(
        "write-bytes={},write-records={},read-bytes={},read-calls={},iterators={},fanout-bytes={} per second",
        figure(limits.write_bytes_per_second),
        figure(limits.write_records_per_second),
        figure(limits.read_bytes_per_second),
        figure(limits.read_calls_per_second),
        figure(limits.iterators_per_second),
        figure(limits.fanout_bytes_per_second),
    )
}
